package qwen_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// However the graph is written for a backend, and however its shapes are padded, the golden stages are the same.
func TestRuntimeVariants(t *testing.T) {
	device := openDevice(t)
	variants := map[string]func(r *qwen.Runtime){
		"padded shapes":      func(r *qwen.Runtime) { r.ExactShapes = false },
		"exact shapes":       func(r *qwen.Runtime) { r.ExactShapes = true },
		"matrices in parts":  func(r *qwen.Runtime) { r.MatrixElements = 512 },
		"multiply, reduce":   func(r *qwen.Runtime) { r.Traits.MulReduce = true },
		"matrix products":    func(r *qwen.Runtime) { r.Traits.MulReduce = false },
		"swapped products":   func(r *qwen.Runtime) { r.Traits.SwapRows = 64 },
		"stripes":            func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows = 8, 16 },
		"uneven stripes":     func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.ExactShapes = 8, 28, true },
		"stripes at once":    func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.Workers = 8, 16, 3 },
		"one token a stripe": func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.ExactShapes = 1, 1, true },
		"blocks of queries":  func(r *qwen.Runtime) { r.Traits.BlockBytes = 1 },
	}
	if device.IsXLA() { // the pure-Go backend cannot write a part of a tensor
		variants["cache on the device"] = func(r *qwen.Runtime) { r.HostCache = false }
	}
	for golden, few := range goldens {
		for name, change := range variants {
			if few && device.IsXLA() && !slices.Contains([]string{"matrices in parts", "stripes", "matrix products", "cache on the device"}, name) {
				continue // each compiles a model anew, and the rest is the same code
			}
			t.Run(golden+"/"+name, func(t *testing.T) {
				r := device.Runtime()
				change(&r)
				fsys := os.DirFS(filepath.Join("testdata", "golden", golden))
				m := loadModel(t, r, fsys)
				want := readExpected(t, fsys)
				got, err := computeCase(t.Context(), m, readImages(t, fsys), want.prompt(), len(want.ints["generated"]))
				require.NoError(t, err)
				require.Zero(t, got.failures(want))
			})
		}
	}
}

// goldens are a case of each generation, and whether few variants will do for it where that takes long.
var goldens = map[string]bool{
	"qwen3_vl": false, "qwen2_vl": true, "qwen2_5_vl_ragged": true, "qwen3_vl_moe": true, "qwen3_5_long": true, "qwen3_5_moe": true,
}

// Half-precision weights change the logits by what rounding the inputs of each product costs, and no more. The golden
// weights are stored in bfloat16, so nothing is lost in loading them; 8 bits of mantissa give products an error of 2^-9 each.
func TestHalfPrecision(t *testing.T) {
	device := openDevice(t)
	// About three times what was seen on both backends, for logits with a standard deviation of 2.7.
	for dtype, allowed := range map[dtypes.DType]struct{ worst, mean float64 }{
		dtypes.BFloat16: {0.3, 0.04}, dtypes.Float16: {0.04, 0.005},
	} {
		t.Run(dtype.String(), func(t *testing.T) {
			fsys := os.DirFS(goldenDir)
			m, err := qwen.Load(t.Context(), device.Runtime(), fsys, qwen.LoadOptions{DType: dtype})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			want := readExpected(t, fsys)
			got, err := computeCase(t.Context(), m, readImages(t, fsys), want.prompt(), 1)
			require.NoError(t, err)
			worst, mean, err := compareFloats(got.floats["logits"], want.floats["logits"], allowed.worst, allowed.mean)
			t.Logf("logits: max error %.3g, mean %.3g", worst, mean)
			require.NoError(t, err)
			require.Positive(t, mean)
		})
	}
}
