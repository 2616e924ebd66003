package qwen_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/qwen"
)

// spread opens XLA's CPU as so many devices, over all of which models are to be divided.
func spread(t *testing.T, n int) qwen.Runtime {
	t.Helper()
	device, err := backend.OpenWith(context.Background(), "xla:cpu", backend.OpenOptions{Devices: n})
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	r := device.Runtime()
	for i := range n {
		r.Devices = append(r.Devices, compute.DeviceNum(i))
	}
	return r
}

// requireHalf has each of two devices hold no more than 0.55 of the weights that one would.
func requireHalf(t *testing.T, r qwen.Runtime, fsys fs.FS, dtype dtypes.DType, parts []int64) {
	t.Helper()
	r.Devices = r.Devices[:1]
	m, err := qwen.Load(t.Context(), r, fsys, qwen.LoadOptions{DType: dtype})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	whole := m.WeightBytes()
	require.Len(t, whole, 1)
	require.Len(t, parts, 2)
	for _, n := range parts {
		t.Logf("%s: %d of %d bytes", dtype, n, whole[0])
		require.LessOrEqual(t, float64(n), 0.55*float64(whole[0]))
		require.GreaterOrEqual(t, float64(n), 0.5*float64(whole[0]))
	}
}

// A model that is divided between two devices is the same model, in every generation: each stage is within what the golden cases
// allow for one device, and the tokens are the same. Neither device holds more than 0.55 of the weights.
func TestShares(t *testing.T) {
	r := spread(t, 2)
	for golden := range goldens {
		if golden == "qwen3_5_long" { // a layer of each of its kinds is in qwen3_5_moe, and what it writes in TestSlotsOfShares
			continue
		}
		t.Run(golden, func(t *testing.T) {
			r := r
			if golden == "qwen2_vl" { // stripes, whose keys and values are joined
				r.StripeLimit, r.StripeRows = 8, 32
			}
			fsys := os.DirFS(filepath.Join("testdata", "golden", golden))
			m := loadModel(t, r, fsys)
			requireGolden(t, m, fsys)
			requireHalf(t, r, fsys, dtypes.Float32, m.WeightBytes())
		})
	}
}

// So it is with rounded weights, where int8 has scales for what a device has of a row.
func TestSharesOfRoundedWeights(t *testing.T) {
	r := spread(t, 2)
	fsys := os.DirFS(goldenDir)
	for dtype, allowed := range map[dtypes.DType]qwen.Tolerance{ // those of one device: see TestHalfPrecision and TestInt8
		dtypes.BFloat16: {Max: 0.3, Mean: 0.04}, dtypes.Int8: {Max: 1, Mean: 0.16},
	} {
		t.Run(dtype.String(), func(t *testing.T) {
			m, err := qwen.Load(t.Context(), r, fsys, qwen.LoadOptions{DType: dtype})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			reports, err := qwen.Verify(t.Context(), m, []qwen.Case{readCase(t, fsys)}, qwen.VerifyOptions{
				Tolerances: map[string]qwen.Tolerance{"logits": allowed},
			})
			require.NoError(t, err)
			requireHalf(t, r, fsys, dtype, m.WeightBytes())
			for _, s := range reports[0].Stages {
				if s.Name != "generated" && s.Name != "text" {
					require.True(t, s.OK, "%s: %s", s.Name, s.Detail)
				}
			}
		})
	}
}

// Slots of a divided cache are apart, are made larger and moved, and taken back to a mark.
func TestSlotsOfShares(t *testing.T) {
	r := spread(t, 2)
	ctx := t.Context()
	w := newWriter(t, r, "qwen3_5_long", 2) // it has both kinds of layers
	w.begin(0)
	w.step()
	w.begin(1)
	w.step()
	mark, err := w.cache.Mark(ctx, 1)
	require.NoError(t, err)
	defer func() { require.NoError(t, mark.Close()) }()
	at, n := w.tokens[1], len(w.written[1])
	w.tokens[1] = 20
	w.step()
	require.NoError(t, w.cache.Rewind(ctx, mark))
	w.tokens[1], w.written[1] = at, w.written[1][:n]
	w.step()
	require.NoError(t, w.cache.Fit(ctx, []int{1, 0}))
	w.written, w.tokens = [][]int32{w.written[1], w.written[0]}, []int32{w.tokens[1], w.tokens[0]}
	for len(w.written[0]) < len(w.want) {
		w.step()
	}
	require.Equal(t, w.want, w.written[0])
	require.Equal(t, w.want, w.written[1][:len(w.want)])
}

// A prompt begins behind what another has left on each of the devices.
func TestPrefixOfShares(t *testing.T) {
	r := spread(t, 2)
	for _, golden := range []string{"qwen3_vl", "qwen3_5_moe"} {
		t.Run(golden, func(t *testing.T) {
			asker{t, loadModel(t, r, os.DirFS(filepath.Join("testdata", "golden", golden)))}.all(1e-3)
		})
	}
}

// fourHeads is a checkpoint whose heads four devices divide, but not its vocabulary: a golden one with twice the heads of keys and
// values, heads of half the size in the vision tower, and without the last token.
func fourHeads(t *testing.T) fstest.MapFS {
	t.Helper()
	files := withConfig(t, os.DirFS(goldenDir), map[string]any{
		"text_config.num_key_value_heads": 4, "vision_config.num_heads": 4, "text_config.vocab_size": 511,
	}).(fstest.MapFS)
	var tensors []checkpoint.Data
	for _, d := range readTensors(t, files, checkpoint.BF16) {
		if strings.Contains(d.Name, "k_proj") || strings.Contains(d.Name, "v_proj") { // the new heads are the old ones with other signs
			fresh := slices.Clone(d.Bytes)
			for i := 0; i < len(fresh); i += 6 {
				binary.LittleEndian.PutUint16(fresh[i:], binary.LittleEndian.Uint16(fresh[i:])^0x8000)
			}
			d.Bytes, d.Shape = append(slices.Clone(d.Bytes), fresh...), []int{2 * d.Shape[0], d.Shape[1]}
		}
		if strings.Contains(d.Name, "embed_tokens") || strings.Contains(d.Name, "lm_head") {
			d.Bytes, d.Shape = d.Bytes[:len(d.Bytes)/512*511], []int{511, d.Shape[1]}
		}
		tensors = append(tensors, d)
	}
	writeShards(t, files, tensors, 1)
	return files
}

// Four devices write what one does.
func TestSharesOfFour(t *testing.T) {
	files := fourHeads(t)
	want := readCase(t, files)
	type run struct {
		tokens []int32
		logits []float32
		bytes  int64
	}
	runs := map[int]run{}
	r := spread(t, 4)
	all := r.Devices
	for _, n := range []int{1, 4} {
		r.Devices = all[4-n:]
		m := loadModel(t, r, files)
		p, err := m.Processor.Process(t.Context(), want.Images[0], qwen.Bounds{})
		require.NoError(t, err)
		v, err := m.Encode(t.Context(), p)
		require.NoError(t, err)
		l, err := m.Layout(want.Prompt, []qwen.Grid{{Height: p.GridH, Width: p.GridW}})
		require.NoError(t, err)
		logits, err := m.Logits(t.Context(), l, []*qwen.Visual{v})
		require.NoError(t, err)
		w := &writer{t: t, m: m, layout: l, visuals: []*qwen.Visual{v}, cache: m.NewCache(2, 512), active: make([]bool, 2), tokens: make([]int32, 2), written: make([][]int32, 2)}
		w.begin(1)
		for range 15 {
			w.step()
		}
		runs[n] = run{w.written[1], logits, m.WeightBytes()[0]}
		require.NoError(t, w.cache.Close())
		require.NoError(t, v.Close())
	}
	for n, got := range runs {
		require.Equal(t, runs[1].tokens, got.tokens, "%d devices", n)
		largest := 0.0
		for i, v := range got.logits {
			largest = max(largest, float64(v-runs[1].logits[i]), float64(runs[1].logits[i]-v))
		}
		t.Logf("%d devices: logits differ by up to %.2g, %d bytes each", n, largest, got.bytes)
		require.LessOrEqual(t, largest, goldenTolerances["logits"].Max)
	}
	require.LessOrEqual(t, float64(runs[4].bytes), 0.3*float64(runs[1].bytes))
}

// A number of devices that does not divide the model is refused before a tensor is read, with what does not and what would do.
func TestSharesRefuse(t *testing.T) {
	device := openDevice(t)
	for _, row := range []struct {
		golden  string
		devices int
		want    []string
	}{
		{"qwen3_vl", 3, []string{"among 3 devices", "text_config.num_attention_heads is 4, which 3 does not divide",
			"text_config.num_key_value_heads is 2, less than one a device", "vision_config.num_heads is 2, less than one a device",
			"sizes that would do: 1, 2"}},
		{"qwen3_vl", 4, []string{"text_config.num_key_value_heads is 2, less than one a device"}},
		{"qwen3_5_moe", 4, []string{"text_config.linear_num_key_heads is 2, less than one a device", "sizes that would do: 1, 2"}},
		{"qwen3_5_moe", 7, []string{"text_config.moe_intermediate_size is 24, which 7 does not divide", "text_config.shared_expert_intermediate_size is 40"}},
	} {
		t.Run(fmt.Sprint(row.golden, row.devices), func(t *testing.T) {
			files := withConfig(t, os.DirFS(filepath.Join("testdata", "golden", row.golden)), nil).(fstest.MapFS)
			for name := range files {
				if strings.HasSuffix(name, ".safetensors") {
					delete(files, name)
				}
			}
			r := device.Runtime()
			r.Devices = make([]compute.DeviceNum, row.devices)
			_, err := qwen.Load(t.Context(), r, files, qwen.LoadOptions{})
			require.ErrorIs(t, err, qwen.ErrUnsupported)
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
