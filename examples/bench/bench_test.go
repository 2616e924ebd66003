package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBench(t *testing.T) {
	var out bytes.Buffer
	f := flags{
		model: filepath.Join("..", "..", "qwen", "testdata", "golden", "qwen3_vl"), device: "go", dtype: "float32", prompt: "x",
		batch: "1,2", size: "64x96,96x64", newTokens: 3, runs: 1, parallel: 1,
	}
	require.NoError(t, bench(t.Context(), f, json.NewEncoder(&out)))
	lines := json.NewDecoder(&out)
	for _, want := range [][3]int{{64, 96, 1}, {64, 96, 2}, {96, 64, 1}, {96, 64, 2}} {
		var r report
		require.NoError(t, lines.Decode(&r))
		require.Equal(t, want, [3]int{r.Width, r.Height, r.Batch})
		require.Positive(t, r.DecodeStep)
		require.Positive(t, r.StepBytes)
		require.Positive(t, r.Bandwidth)
		require.InDelta(t, float64(r.StepBytes)/r.DecodeStep/r.Bandwidth/1e9, r.Roofline, 1e-9)
	}
	require.False(t, lines.More())
}

func TestBenchRefuses(t *testing.T) {
	ok := flags{model: "x", dtype: "float32", batch: "1", newTokens: 2, runs: 1, parallel: 1}
	for want, change := range map[string]func(f *flags){
		"-model": func(f *flags) { f.model = "" }, "-batch": func(f *flags) { f.batch = "1,0" }, "-dtype": func(f *flags) { f.dtype = "int4" },
		"-new-tokens": func(f *flags) { f.newTokens = 1 }, "-size": func(f *flags) { f.size = "12" },
	} {
		f := ok
		change(&f)
		require.ErrorContains(t, bench(t.Context(), f, nil), want)
	}
}

func TestGPUBandwidth(t *testing.T) {
	for name, want := range map[string]float64{
		"NVIDIA H200": 4800, "NVIDIA H100 80GB HBM3": 3350, "NVIDIA H100 PCIe": 2000, "NVIDIA GH200 480GB": 4000, "NVIDIA A100-SXM4-40GB": 1555,
		"NVIDIA L40S": 864, "NVIDIA L4": 300, "NVIDIA A10G": 600, "Quadro of old": 0,
	} {
		require.Equal(t, want, gpuBandwidth(name), name)
	}
}
