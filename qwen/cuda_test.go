//go:build linux && cgo

package qwen_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/aot"
	"github.com/omnidocs/omnidocs/internal/program"
	"github.com/omnidocs/omnidocs/qwen"
)

// qwen3VL2B is the shape of Qwen/Qwen3-VL-2B-Instruct.
func qwen3VL2B() qwen.Spec {
	return qwen.Spec{
		ModelType: "qwen3_vl", DType: "bfloat16",
		Text: qwen.TextSpec{
			VocabSize: 151936, Hidden: 2048, Intermediate: 6144, Layers: 28, Heads: 16, KVHeads: 8, HeadDim: 128,
			MaxPositions: 262144, NormEps: 1e-6, QKNorm: true, RotaryDim: 128, RopeTheta: 5e6, MRopeSection: [3]int{24, 20, 20},
			Interleaved: true, Tied: true,
		},
		Vision: qwen.VisionSpec{
			Depth: 24, Hidden: 1024, Intermediate: 4096, Heads: 16, OutHidden: 2048, PatchSize: 16, TemporalPatchSize: 2, MergeSize: 2,
			PatchBias: true, PositionSide: 48, RopeTheta: 10000, Activation: "gelu_pytorch_tanh", Deepstack: []int{5, 11, 17},
		},
	}
}

// lowering is a backend that builds the graphs which go-xla builds for CUDA. It is XLA's plugin for CPUs, with another name: by
// that go-xla tells what it has before it. It compiles nothing that has cuDNN's calls in it.
func lowering(t *testing.T) compute.Backend {
	t.Helper()
	device, err := backend.Open(t.Context(), "xla:cpu")
	if err != nil {
		t.Skipf("no XLA plugin for CPUs, which builds the graphs: %v", err)
	}
	dir, err := os.MkdirTemp("", "lowering-cpu-") //nolint:usetesting // the name of the test's own says CUDA
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	link := filepath.Join(dir, "plugin.so") // go-xla keeps one plugin a path: this one is ours to rename
	require.NoError(t, os.Symlink(device.Plugin(), link))
	require.NoError(t, device.Close())
	b, err := xla.NewWithOptions(link+",tf32=false", nil)
	require.NoError(t, err)
	t.Cleanup(b.Finalize)
	plugin, err := pjrt.GetPlugin(link)
	require.NoError(t, err)
	name := reflect.ValueOf(plugin).Elem().FieldByName("name")
	reflect.NewAt(name.Type(), unsafe.Pointer(name.UnsafeAddr())).Elem().SetString("cuda")
	require.True(t, plugin.IsCUDA() && !plugin.IsCPU())
	return b
}

// cudaProgram is a program of the model on CUDA, and what is asked of it.
type cudaProgram struct {
	name  string
	build qwen.Build
	// kernels bounds what runs, in a round of the loop where there is one.
	kernels int
	// flash counts the calls of cuDNN's attention.
	flash int
	// caches are the inputs that change in place: the number of the output by that of the input.
	caches map[int]int
	// moves bounds the bytes that one operation only carries about, and writes what it writes of anything.
	moves, writes int64
}

// The programs of Qwen3-VL-2B, compiled for a GPU that is not there: no weight is copied or put together anew, the cache changes in
// place, attention over whole sequences is cuDNN's, and there are no more kernels than was seen (and a few, for other versions of XLA).
// It says nothing of speed. How to get what it needs is told in package internal/aot.
func TestCUDA(t *testing.T) {
	target, err := aot.FromEnv()
	if err != nil {
		t.Skipf("%v: see internal/aot", err)
	}
	be := lowering(t)
	compiler, err := aot.New(target)
	require.NoError(t, err)
	defer func() { require.NoError(t, compiler.Close()) }()
	for _, p := range cudaPrograms(be) {
		t.Run(p.name, func(t *testing.T) {
			text, err := program.Lower(be, p.name, p.build)
			require.NoError(t, err)
			got, err := compiler.Compile(text)
			require.NoError(t, err)
			kernels, loop := got.InLoop(), true
			if kernels == 0 {
				kernels, loop = len(got.Kernels), false
			}
			t.Logf("%d kernels (of %d), %d calls of cuDNN's attention, %d inputs in place", kernels, len(got.Kernels),
				got.Calls["__cudnn$fmhaSoftmax"], len(got.Aliases))
			for _, w := range got.Writes[:min(3, len(got.Writes))] {
				t.Logf("writes most: %v", w)
			}
			require.LessOrEqual(t, kernels, p.kernels)
			require.Equal(t, p.flash, got.Calls["__cudnn$fmhaSoftmax"], "calls: %v", got.Calls)
			for input, output := range p.caches {
				at, ok := got.Aliases[input]
				require.True(t, ok, "input %d is not changed in place", input)
				require.Equal(t, output, at)
			}
			for _, w := range got.Large(0, loop) {
				require.LessOrEqual(t, w.Bytes, p.writes, "%v", w)
				if w.Move {
					require.LessOrEqual(t, w.Bytes, p.moves, "%v only moves", w)
				}
			}
		})
	}
}

// cudaRuntime is what package backend chooses for CUDA.
func cudaRuntime(be compute.Backend) qwen.Runtime {
	return qwen.Runtime{Backend: be, HalfCache: true, Traits: qwen.Traits{HalfAttention: true, Flash: true, HalfInt8: true}}
}

func cudaPrograms(be compute.Backend) []cudaProgram {
	const mib = 1 << 20
	half := qwen.NewPrograms(qwen3VL2B(), cudaRuntime(be), dtypes.BFloat16)
	int8 := qwen.NewPrograms(qwen3VL2B(), cudaRuntime(be), dtypes.Int8)
	caches := map[int]int{4: 1, 5: 2}
	// A loop has 7 inputs before the caches, and 6 more where it draws.
	loopCaches := func(first int) map[int]int {
		m := map[int]int{}
		for i := range 2 * qwen3VL2B().Text.Layers {
			m[first+i] = 1 + i
		}
		return m
	}
	return []cudaProgram{
		{name: "loop of 1", build: half.Loop(1, 2048, 32, false), kernels: 28*20 + 20, caches: loopCaches(7), moves: mib / 8, writes: mib},
		{name: "loop of 32", build: half.Loop(32, 2048, 32, false), kernels: 28*20 + 20, caches: loopCaches(7), moves: mib, writes: 40 * mib},
		{name: "loop of 1, drawn", build: half.Loop(1, 2048, 32, true), kernels: 28*20 + 200, caches: loopCaches(13), moves: mib, writes: 2 * mib},
		{name: "loop of 1, int8", build: int8.Loop(1, 2048, 32, false), kernels: 28*20 + 20, caches: loopCaches(7), moves: mib / 8, writes: mib},
		{name: "block of 4096 patches", build: half.Block(4096, false), kernels: 14, flash: 1, moves: 40 * mib, writes: 80 * mib},
		{name: "block of 4096 patches, padded", build: half.Block(4096, true), kernels: 16, flash: 1, moves: 40 * mib, writes: 80 * mib},
		{name: "prompt of 1056, projections", build: half.Project(1056), kernels: 9, moves: 10 * mib, writes: 20 * mib},
		{name: "prompt of 1056, attention and the rest", build: half.Attend(1056), kernels: 12, flash: 1, moves: 14 * mib, writes: 60 * mib},
		{name: "prompt of 1056, the rest of the last layer", build: half.AttendLast(1056), kernels: 13, moves: mib / 8, writes: mib / 4},
		{name: "prompt of 96 behind 1024, attention and the rest", build: half.AttendBehind(96, 1024), kernels: 14, moves: 8 * mib, writes: 8 * mib},
		{name: "keys of 96 behind 1024", build: half.Behind(96, 1024, 1056), kernels: 2, moves: 5 * mib, writes: 5 * mib},
		{name: "step of 1", build: half.Step(1, 2048), kernels: 21, caches: caches, moves: mib / 8, writes: mib / 2},
		{name: "step of 32", build: half.Step(32, 2048), kernels: 19, caches: caches, moves: mib, writes: 6 * mib},
		{name: "step of 1, int8", build: int8.Step(1, 2048), kernels: 21, caches: caches, moves: mib / 8, writes: mib / 2},
		{name: "step of 32, int8", build: int8.Step(32, 2048), kernels: 19, caches: caches, moves: mib, writes: 6 * mib},
	}
}
