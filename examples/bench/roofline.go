package main

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// gpuBandwidths are the bandwidths of GPUs' memories in GB/s, as NVIDIA's data sheets have them, by what their names have in them: the
// first that fits counts.
var gpuBandwidths = []struct {
	name      string
	bandwidth float64
}{
	{"B200", 8000}, {"GH200", 4000}, {"H200", 4800}, {"H100 NVL", 3900}, {"H100 PCIe", 2000}, {"H100", 3350},
	{"A100-PCIE-40GB", 1555}, {"A100-SXM4-40GB", 1555}, {"A100-PCIE-80GB", 1935}, {"A100 80GB PCIe", 1935}, {"A100", 2039},
	{"L40S", 864}, {"L40", 864}, {"L4", 300}, {"A10G", 600}, {"A10", 600}, {"A40", 696}, {"T4", 320}, {"V100", 900},
	{"RTX 5090", 1792}, {"RTX 4090", 1008}, {"RTX 3090", 936}, {"RTX 6000 Ada", 960}, {"RTX A6000", 768},
}

// gpuBandwidth looks up a GPU; 0 where it is not in the table.
func gpuBandwidth(name string) float64 {
	for _, g := range gpuBandwidths {
		if strings.Contains(name, g.name) {
			return g.bandwidth
		}
	}
	return 0
}

// bandwidth is that of the device's memory in GB/s, 0 where it is not known.
func bandwidth(ctx context.Context, device *backend.Device) float64 {
	if device.IsCPU() {
		return copyBandwidth()
	}
	gpus, err := device.GPUs(ctx)
	if err != nil || len(gpus) == 0 {
		return 0
	}
	return gpuBandwidth(gpus[0].Name)
}

// copyBandwidth is how fast all cores together copy memory, in GB/s: what is read and what is written, the best of a few times.
func copyBandwidth() float64 {
	const size = 64 << 20 // a core: more than the caches hold
	cores := runtime.GOMAXPROCS(0)
	buffers := make([][]byte, 2*cores)
	for i := range buffers {
		buffers[i] = make([]byte, size)
		for j := 0; j < size; j += 4096 {
			buffers[i][j] = 1 // the system gives the memory now
		}
	}
	best := 0.0
	for range 5 {
		start := time.Now()
		var running sync.WaitGroup
		for i := range cores {
			running.Go(func() { copy(buffers[2*i], buffers[2*i+1]) })
		}
		running.Wait()
		best = max(best, float64(2*size*cores)/time.Since(start).Seconds()/1e9)
	}
	return best
}

// stepBytes are what a step must read at least: the weights of the text tower and of the output, once, and the keys and values of
// each page, of so many tokens. It is 0 for models with experts, of which a step reads those that it needs.
func stepBytes(m *qwen.Model, batch, tokens int) int64 {
	if m.Spec.Text.Sparse != nil {
		return 0
	}
	p := m.Planner()
	weights := p.Weights().Parts
	output := weights["head"]
	if m.Spec.Text.Tied {
		output += weights["embedding"]
	}
	cache := p.Cache(batch, tokens)
	return weights["text"] + output + cache.KeysAndValues*int64(tokens)/int64(cache.Capacity) + cache.States
}
