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
		"direct products":    func(r *qwen.Runtime) { r.Traits.SwapRows = 0 },
		"stripes":            func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows = 8, 16 },
		"uneven stripes":     func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.ExactShapes = 8, 28, true },
		"stripes at once":    func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.Workers = 8, 16, 3 },
		"one token a stripe": func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.ExactShapes = 1, 1, true },
		"blocks of queries":  func(r *qwen.Runtime) { r.Traits.BlockBytes = 1 },
		"steps by the host":  func(r *qwen.Runtime) { r.HostStep = r.HostCache },
		"steps by programs":  func(r *qwen.Runtime) { r.HostStep = false },
		"all by the host":    func(r *qwen.Runtime) { r.HostStep, r.HostPrompt = r.HostCache, r.HostCache },
		"stripes by the host": func(r *qwen.Runtime) {
			r.HostStep, r.HostPrompt, r.ExactShapes, r.StripeLimit, r.StripeRows = r.HostCache, r.HostCache, false, 8, 16
		},
	}
	if device.IsXLA() { // the pure-Go backend cannot write a part of a tensor
		variants["cache on the device"] = func(r *qwen.Runtime) { r.HostCache = false }
		variants["as on CUDA"] = func(r *qwen.Runtime) { // float32, so that neither attention nor cache is in bfloat16
			*r = qwen.Runtime{Backend: r.Backend, HalfCache: true, Traits: qwen.Traits{HalfAttention: true, Flash: true, HalfInt8: true}}
		}
	}
	if device.IsXLA() {
		delete(variants, "one token a stripe") // a program for each token
	}
	for golden, few := range goldens {
		for name, change := range variants {
			if few && device.IsXLA() && !slices.Contains([]string{"matrices in parts", "stripes", "matrix products", "cache on the device", "all by the host"}, name) {
				continue // each compiles a model anew, and the rest is the same code
			}
			t.Run(golden+"/"+name, func(t *testing.T) {
				r := device.Runtime()
				r.HostPrompt = false // the graph is what most are about
				change(&r)
				fsys := os.DirFS(filepath.Join("testdata", "golden", golden))
				m := loadModel(t, r, fsys)
				requireGolden(t, m, fsys)
			})
		}
	}
}

// goldens are a case of each generation, and whether few variants will do for it where that takes long.
var goldens = map[string]bool{
	"qwen3_vl": false, "qwen2_vl": true, "qwen2_5_vl_ragged": true, "qwen3_vl_moe": true, "qwen3_5_long": true, "qwen3_5_moe": true,
}

// Half-precision weights change each stage by what rounding the inputs of each product costs, and no more. The golden weights are
// stored in bfloat16, so nothing is lost in loading them; 8 bits of mantissa give products an error of 2^-9 each.
func TestHalfPrecision(t *testing.T) {
	device := openDevice(t)
	// About three times what was seen on both backends, for logits with a standard deviation of 2.7. The default tolerances are wider,
	// for models with experts.
	bfloat16 := qwen.Tolerance{Max: 0.3, Mean: 0.04}
	type variant struct {
		dtype   dtypes.DType
		allowed qwen.Tolerance
		runtime qwen.Runtime
	}
	variants := map[string]variant{
		"BFloat16": {dtypes.BFloat16, bfloat16, device.Runtime()},
		"BFloat16, steps by programs": {dtypes.BFloat16, bfloat16, func() qwen.Runtime {
			r := device.Runtime()
			r.HostStep = false
			return r
		}()},
		"Float16": {dtypes.Float16, qwen.Tolerance{Max: 0.04, Mean: 0.005}, device.Runtime()},
	}
	if device.IsXLA() { // with keys and values in bfloat16 too
		variants["BFloat16, as on CUDA"] = variant{dtypes.BFloat16, bfloat16, qwen.Runtime{
			Backend: device.Backend(), HalfCache: true, Traits: qwen.Traits{HalfAttention: true, Flash: true, HalfAccumulator: true},
		}}
		variants["BFloat16, as on another processor"] = variant{dtypes.BFloat16, bfloat16, onAnother(device.Runtime())}
	}
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			fsys := os.DirFS(goldenDir)
			m, err := qwen.Load(t.Context(), v.runtime, fsys, qwen.LoadOptions{DType: v.dtype})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			reports, err := qwen.Verify(t.Context(), m, []qwen.Case{readCase(t, fsys)}, qwen.VerifyOptions{
				Tolerances: map[string]qwen.Tolerance{"logits": v.allowed},
			})
			require.NoError(t, err)
			for _, s := range reports[0].Stages {
				t.Logf("%s: max error %.3g, mean %.3g (allowed %.3g, %.3g) %s", s.Name, s.Max, s.Mean, s.Tolerance.Max, s.Tolerance.Mean, s.Detail)
				require.True(t, s.OK, "%s: %s", s.Name, s.Detail)
				if s.Name == "logits" {
					require.Positive(t, s.Mean)
				}
			}
		})
	}
}

// onAnother is the runtime with the products of narrow numbers as they are on processors with AMX, or, where this is one, on others.
func onAnother(r qwen.Runtime) qwen.Runtime {
	r.Traits.SwapNarrow = 64 - r.Traits.SwapNarrow
	return r
}

// Rounding weights to int8 costs what is documented: in each generation the logits' errors have a mean of a few percent of their
// spread, and some error there is.
func TestInt8(t *testing.T) {
	device := openDevice(t)
	// About twice what was seen on xla:cpu, which rounds the inputs too; it is a third less on go.
	for golden, mean := range map[string]float64{
		"qwen2_vl": 0.3, "qwen2_5_vl_ragged": 0.4, "qwen3_vl": 0.16, "qwen3_vl_tied": 0.16, "qwen3_vl_moe": 0.36, "qwen3_5_long": 0.5,
		"qwen3_5_moe": 0.8, "qwen3_vl_fp8": 0.35,
	} {
		check := func(t *testing.T, r qwen.Runtime) {
			fsys := os.DirFS(filepath.Join("testdata", "golden", golden))
			r.MatrixElements = 512 // so that scales are in parts too
			m, err := qwen.Load(t.Context(), r, fsys, qwen.LoadOptions{DType: dtypes.Int8})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			reports, err := qwen.Verify(t.Context(), m, []qwen.Case{readCase(t, fsys)}, qwen.VerifyOptions{})
			require.NoError(t, err)
			for _, s := range reports[0].Stages {
				if s.Name == "generated" || s.Name == "text" { // random weights leave near ties, which any rounding decides otherwise
					continue
				}
				t.Logf("%s: max error %.3g, mean %.3g", s.Name, s.Max, s.Mean)
				require.True(t, s.OK, "%s: %s", s.Name, s.Detail)
				if s.Name == "logits" {
					require.Less(t, s.Mean, mean)
					require.Positive(t, s.Mean)
				}
			}
		}
		t.Run(golden, func(t *testing.T) { check(t, device.Runtime()) })
		if golden == "qwen3_vl" && device.IsXLA() { // the products are the same code in all
			t.Run(golden+" as on another processor", func(t *testing.T) { check(t, onAnother(device.Runtime())) })
		}
	}
}
