package main

import (
	"context"
	"errors"
	"image"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// report has the fields of a line.
type report struct {
	Engine       string  `json:"engine"`
	Model        string  `json:"model"`
	Device       string  `json:"device"`
	DType        string  `json:"dtype"`
	Batch        int     `json:"batch"`
	Width        int     `json:"page_width"`
	Height       int     `json:"page_height"`
	VisualTokens int     `json:"visual_tokens"`
	PromptTokens int     `json:"prompt_tokens"`
	NewTokens    int     `json:"new_tokens"`
	Loop         int     `json:"tokens_per_call,omitempty"`
	Load         float64 `json:"load_s"`
	Compiled     int     `json:"compiled"`
	Compile      float64 `json:"compile_s"`
	Found        int     `json:"found_compiled"`
	FoundLoad    float64 `json:"found_compiled_s"`
	Weights      float64 `json:"weights_gb"`
	PeakMemory   float64 `json:"peak_memory_gb"`
	DevicePeak   float64 `json:"device_peak_gb,omitempty"`
	Preprocess   float64 `json:"preprocess_s"`
	Prefill      float64 `json:"prefill_s"`
	DecodeStep   float64 `json:"decode_s_per_step"`
	DecodeRate   float64 `json:"decode_tokens_per_s"`
	PageRate     float64 `json:"pages_per_s"`
	Encode       float64 `json:"encode_s"`
	StepBytes    int64   `json:"bytes_per_step,omitempty"`
	Bandwidth    float64 `json:"bandwidth_gb_s,omitempty"`
	Roofline     float64 `json:"roofline_share,omitempty"`
}

// best is the best of some runs with a page.
func (r report) best(ctx context.Context, m *qwen.Model, page image.Image, f flags) (report, error) {
	var best report
	for i := range f.runs {
		run := r
		if err := run.run(ctx, m, page, f); err != nil {
			return report{}, err
		}
		if i == 0 {
			best = run
		}
		best.Preprocess, best.Encode = min(best.Preprocess, run.Preprocess), min(best.Encode, run.Encode)
		best.Prefill, best.DecodeStep = min(best.Prefill, run.Prefill), min(best.DecodeStep, run.DecodeStep)
		best.PageRate = max(best.PageRate, run.PageRate)
	}
	best.DecodeRate = float64(best.Batch) / best.DecodeStep
	best.StepBytes = stepBytes(m, best.Batch, best.PromptTokens+f.newTokens/2)
	if best.Bandwidth > 0 {
		best.Roofline = float64(best.StepBytes) / best.DecodeStep / (best.Bandwidth * 1e9)
	}
	return best, nil
}

// run reads the page once in every slot.
func (r *report) run(ctx context.Context, m *qwen.Model, page image.Image, f flags) (err error) {
	start := time.Now()
	patches, err := m.Processor.Process(ctx, page, qwen.Bounds{})
	if err != nil {
		return err
	}
	layout, err := m.Layout(qwen.Prompt{Text: f.prompt}, []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
	if err != nil {
		return err
	}
	r.Preprocess = time.Since(start).Seconds()
	r.Width, r.Height = page.Bounds().Dx(), page.Bounds().Dy()
	r.VisualTokens, r.PromptTokens = patches.VisualTokens(), len(layout.IDs)

	cache := m.NewCache(r.Batch, len(layout.IDs)+f.newTokens)
	defer func() { err = errors.Join(err, cache.Close()) }()
	turn := qwen.Turn{Tokens: make([]int32, r.Batch), Active: make([]bool, r.Batch), Limit: make([]int, r.Batch)}
	start = time.Now()
	var encoding time.Duration
	for slot := range r.Batch {
		lap := time.Now()
		visual, err := m.Encode(ctx, patches)
		if err != nil {
			return err
		}
		encoding += time.Since(lap)
		h, err := m.Prefill(ctx, layout, []*qwen.Visual{visual}, cache, slot)
		if err != nil {
			return errors.Join(err, visual.Close())
		}
		next, err := m.Choose(ctx, h, nil)
		if err := errors.Join(err, h.Close(), visual.Close()); err != nil {
			return err
		}
		turn.Tokens[slot], turn.Active[slot] = next.Tokens[0], true
	}
	r.Encode, r.Prefill = encoding.Seconds(), time.Since(start).Seconds()
	decoding := time.Now()
	for left := f.newTokens - 1; left > 0; {
		for slot := range turn.Limit {
			turn.Limit[slot] = left
		}
		out, err := m.Decode(ctx, cache, turn)
		if err != nil {
			return err
		}
		left -= len(out[0].Tokens) // all have as many
		for slot, chosen := range out {
			turn.Tokens[slot] = chosen.Tokens[len(chosen.Tokens)-1]
		}
	}
	r.DecodeStep = time.Since(decoding).Seconds() / float64(f.newTokens-1)
	r.PageRate = float64(r.Batch) / time.Since(start).Seconds()
	return nil
}

// peakMemory is the largest resident size of this process in GB, where the system tells it (Linux), else 0.
func peakMemory() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0
	}
	return kb / 1e6
}
