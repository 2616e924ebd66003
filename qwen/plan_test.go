package qwen_test

import (
	"fmt"
	"image"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/devicetest"
	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/qwen"
)

// The plan's bytes of weights, caches, states, visual tokens and prompts are those on the device, for each generation and type.
func TestPlanIsExact(t *testing.T) {
	device := openDevice(t)
	for _, name := range []string{"qwen2_vl", "qwen2_5_vl_ragged", "qwen3_vl", "qwen3_vl_tied", "qwen3_vl_moe", "qwen3_5_moe"} {
		types := []dtypes.DType{dtypes.Float32}
		if name == "qwen3_vl" {
			types = append(types, dtypes.BFloat16, dtypes.Int8)
		}
		for _, dtype := range types {
			t.Run(name+" "+dtype.String(), func(t *testing.T) {
				files := os.DirFS(filepath.Join("testdata", "golden", name))
				r := device.Runtime()
				plan, err := qwen.NewPlanner(files, qwen.Runtime{
					Traits: r.Traits, ExactShapes: r.ExactShapes, HostCache: r.HostCache, MatrixElements: r.MatrixElements,
					StripeLimit: r.StripeLimit, StripeRows: r.StripeRows, Workers: r.Workers, Round: r.Round,
				}, dtype)
				require.NoError(t, err)
				counted := devicetest.Wrap(r.Backend, r.Round)
				r.Backend = counted
				m, err := qwen.Load(t.Context(), r, files, qwen.LoadOptions{DType: dtype})
				require.NoError(t, err)
				_, weights := counted.Live()
				require.Equal(t, weights, plan.Weights().Bytes)
				require.Equal(t, plan.Weights(), m.Planner().Weights())

				page, err := plan.Page(300, 200, qwen.Bounds{}, qwen.Prompt{Text: "x"})
				require.NoError(t, err)
				patches, err := m.Processor.Process(t.Context(), image.NewGray(image.Rect(0, 0, 300, 200)), qwen.Bounds{})
				require.NoError(t, err)
				layout, err := m.Layout(qwen.Prompt{Text: "x"}, []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
				require.NoError(t, err)
				require.Equal(t, page, plan.PageOf(patches, layout))
				require.Equal(t, len(layout.IDs), page.PromptTokens)
				visual, err := m.Encode(t.Context(), patches)
				require.NoError(t, err)
				require.Equal(t, visual.Tokens(), page.VisualTokens)
				_, held := counted.Live()
				require.Equal(t, held-weights, page.Visual)
				prompted, err := m.Prompt(t.Context(), layout, []*qwen.Visual{visual})
				require.NoError(t, err)
				require.NoError(t, prompted.Hidden.Close())
				prompted.Hidden = nil
				require.NoError(t, visual.Close())
				_, held = counted.Live()
				require.Equal(t, held-weights, page.Left)

				cache := m.NewCache(3, 1000)
				require.NoError(t, cache.Take(t.Context(), 1, prompted))
				_, held = counted.Live()
				require.Equal(t, held-weights, cache.Bytes())
				require.LessOrEqual(t, cache.Bytes(), plan.Cache(3, len(layout.IDs)).Bytes)
				require.NoError(t, cache.Fit(t.Context(), []int{1, -1}))
				_, held = counted.Live()
				require.Equal(t, held-weights, cache.Bytes())
				require.NoError(t, cache.Close())
				require.NoError(t, m.Close())
				buffers, _ := counted.Live()
				require.Zero(t, buffers)
			})
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	files := os.DirFS("testdata/golden/qwen3_vl")
	_, err := qwen.NewPlanner(withConfig(t, files, map[string]any{"text_config.hidden_act": "relu"}), qwen.Runtime{}, dtypes.Float32)
	require.ErrorIs(t, err, qwen.ErrUnsupported)
	_, err = qwen.NewPlanner(withConfig(t, files, map[string]any{"text_config.num_hidden_layers": 2}), qwen.Runtime{}, dtypes.Float32)
	var weights *qwen.WeightsError
	require.ErrorAs(t, err, &weights)
	plan, err := qwen.NewPlanner(files, qwen.Runtime{}, dtypes.Float32)
	require.NoError(t, err)
	_, err = plan.Page(1, 400, qwen.Bounds{}, qwen.Prompt{Text: "x"})
	require.ErrorContains(t, err, "one side is 400 times the other")
}

// Tokens finds the longest sequence whose cache fits.
func TestPlanTokens(t *testing.T) {
	plan, err := qwen.NewPlanner(os.DirFS("testdata/golden/qwen3_vl"), qwen.Runtime{}, dtypes.Float32)
	require.NoError(t, err)
	need := plan.Cache(2, 1024).Most()
	require.Equal(t, 1024, plan.Tokens(2, 2048, need))
	require.Equal(t, 768, plan.Tokens(2, 2048, need-1))
	require.Equal(t, 1000, plan.Tokens(2, 1000, need))
	require.Zero(t, plan.Tokens(2, 2048, 1))
}

// zeroModel writes a checkpoint in the widths of Qwen3-VL-2B's vision tower and half of its text tower's, a few layers of them.
func zeroModel(t *testing.T) fs.FS {
	t.Helper()
	dir, golden := t.TempDir(), os.DirFS("testdata/golden/qwen3_vl")
	files := withConfig(t, golden, map[string]any{
		"text_config.hidden_size": 1024, "text_config.intermediate_size": 3072, "text_config.num_attention_heads": 16,
		"text_config.num_key_value_heads": 8, "text_config.head_dim": 128, "text_config.num_hidden_layers": 2,
		"text_config.max_position_embeddings": 32768, "text_config.vocab_size": 20000,
		"text_config.rope_parameters.mrope_section": []int{24, 20, 20},
		"vision_config.hidden_size":                 1024, "vision_config.intermediate_size": 4096, "vision_config.num_heads": 16,
		"vision_config.depth": 1, "vision_config.out_hidden_size": 1024, "vision_config.deepstack_visual_indexes": []int{0},
		"vision_config.num_position_embeddings": 2304,
	})
	for _, name := range []string{"config.json", "chat_template.jinja", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"} {
		data, err := fs.ReadFile(files, name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	require.NoError(t, qwen.WriteZeros(dir))
	return os.DirFS(dir)
}

// compiler is about what XLA's compiler takes beside a page, once.
const compiler = 64 << 20

// Loading takes no more than the weights and what is read at one time, and a page no more than planned: in the resident memory of
// the process, that is with what programs and the Go runtime take beside buffers. This is where the factors of plan_page.go are from.
func TestPlanPeak(t *testing.T) {
	if runtime.GOOS != "linux" || os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) != nil {
		t.Skip("the peak of the resident memory can be set back on Linux alone (/proc/self/clear_refs)")
	}
	device := openDevice(t)
	if os.Getenv("OMNIDOCS_ALONE") == "" {
		// In a process of its own: in this one the C library has memory left of other tests, whose use does not show.
		alone := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPlanPeak$", "-test.v", "-test.count=1")
		alone.Env = append(os.Environ(), "OMNIDOCS_ALONE=1")
		out, err := alone.CombinedOutput()
		t.Logf("%s", out)
		require.NoError(t, err)
		return
	}
	files := zeroModel(t)
	size := image.Point{1024, 1024}
	if !device.IsXLA() && !hostmath.HasVectors() {
		size = image.Point{480, 320} // it takes long
	}
	page := image.NewGray(image.Rectangle{Max: size})

	peak := memoryPeak()
	m, err := qwen.Load(t.Context(), device.Runtime(), files, qwen.LoadOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	weights := m.Planner().Weights()
	loading := peak()
	t.Logf("weights: %d MB planned, %d MB measured", weights.Bytes>>20, loading>>20)
	require.Greater(t, loading, weights.Bytes*9/10, "it is all there")
	require.Less(t, loading, weights.Bytes*11/10+64<<20, "no second copy")

	plan, err := m.Planner().Page(size.X, size.Y, qwen.Bounds{MaxPixels: 1 << 24}, qwen.Prompt{Text: "x"})
	require.NoError(t, err)
	peak = memoryPeak()
	patches, err := m.Processor.Process(t.Context(), page, qwen.Bounds{MaxPixels: 1 << 24})
	require.NoError(t, err)
	visual, err := m.Encode(t.Context(), patches)
	require.NoError(t, err)
	layout, err := m.Layout(qwen.Prompt{Text: "x"}, []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
	require.NoError(t, err)
	prompted, err := m.Prompt(t.Context(), layout, []*qwen.Visual{visual})
	require.NoError(t, err)
	measured := peak()
	require.NoError(t, prompted.Close())
	require.NoError(t, visual.Close())
	planned := plan.Peak()
	if device.IsXLA() {
		planned += compiler
	}
	t.Logf("a page of %d visual tokens: %d MB planned (vision %d, prompt %d), %d MB measured", plan.VisualTokens, planned>>20,
		plan.Vision>>20, (plan.Visual+plan.Prompt)>>20, measured>>20)
	require.Less(t, float64(measured), 1.4*float64(planned), "more than planned")
	require.Greater(t, float64(measured), 0.65*float64(planned), "much less than planned")
}

// memoryPeak returns a function that says by how much the resident memory has grown at most since.
func memoryPeak() func() int64 {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the caller has tried it
	before := residentMemory("VmRSS")
	return func() int64 { return residentMemory("VmHWM") - before }
}

func residentMemory(key string) int64 {
	data, _ := os.ReadFile("/proc/self/status") // none is 0, which no test takes for a success
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

func ExampleNewPlanner() {
	plan, err := qwen.NewPlanner(os.DirFS("testdata/golden/qwen3_vl"), qwen.Runtime{}, dtypes.BFloat16)
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := plan.Page(1240, 1754, plan.Processor().DocumentBounds(), qwen.Prompt{Text: "qwenvl markdown"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("weights:", plan.Weights().Bytes, "bytes")
	fmt.Println("a page:", page.VisualTokens, "visual tokens,", page.PromptTokens, "in the prompt")
	fmt.Println("four of them with 256 tokens each:", plan.Cache(4, page.PromptTokens+256).Bytes, "bytes")
	// Output:
	// weights: 423680 bytes
	// a page: 35 visual tokens, 59 in the prompt
	// four of them with 256 tokens each: 1572864 bytes
}
