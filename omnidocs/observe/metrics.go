package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/textextraction"
)

// engineMetrics are the metrics of an engine: a row for each.
func engineMetrics(desc func(name, help string, variable ...string) *prometheus.Desc) ([]row, []summary) {
	type stats = textextraction.Stats
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	pagesNow := desc("pages", "Pages that wait for a slot, and that have one.", "state")
	pages := desc("pages_total", "Pages that have ended.", "outcome")
	memory := desc("memory_bytes", "The device's memory, as far as its source knows it.", "kind")
	one := func(d *prometheus.Desc, kind prometheus.ValueType, read func(s stats) float64, of ...string) row {
		return row{desc: d, kind: kind, read: read, of: of}
	}
	known := func(kind string, read func(m backend.MemoryStats) int64) row {
		m := one(memory, gauge, func(s stats) float64 { return float64(read(s.Memory)) }, kind)
		m.known = func(s stats) bool { return read(s.Memory) > 0 }
		return m
	}
	return []row{
			one(desc("uptime_seconds", "Time since the model was loaded."), gauge, func(s stats) float64 { return s.Uptime }),
			one(pagesNow, gauge, func(s stats) float64 { return float64(s.Pages.Queued) }, "queued"),
			one(pagesNow, gauge, func(s stats) float64 { return float64(s.Pages.Running) }, "running"),
			one(pages, counter, func(s stats) float64 { return float64(s.Pages.Done) }, "done"),
			one(pages, counter, func(s stats) float64 { return float64(s.Pages.Failed) }, "failed"),
			one(pages, counter, func(s stats) float64 { return float64(s.Pages.Canceled) }, "canceled"),
			one(desc("evictions_total", "Times that a page lost its slot to others."), counter, func(s stats) float64 { return float64(s.Pages.Evictions) }),
			one(desc("slots", "Pages that can be written together."), gauge, func(s stats) float64 { return float64(s.Slots.Total) }),
			one(desc("slots_in_use", "Slots with a page."), gauge, func(s stats) float64 { return float64(s.Slots.InUse) }),
			one(desc("steps_total", "Calls of the model that wrote tokens."), counter, func(s stats) float64 { return float64(s.Slots.Steps) }),
			one(desc("step_pages_total", "Pages that took part in these calls, of all together."), counter,
				func(s stats) float64 { return s.Slots.MeanActive * float64(s.Slots.Steps) }),
			one(desc("prompt_tokens_total", "Tokens of prompts read, those of images included."), counter, func(s stats) float64 { return float64(s.Tokens.Prompt) }),
			one(desc("visual_tokens_total", "Tokens of images read."), counter, func(s stats) float64 { return float64(s.Tokens.Visual) }),
			one(desc("cached_tokens_total", "Tokens of prompts that were not run again, since an earlier prompt began with them."), counter, func(s stats) float64 { return float64(s.Tokens.Cached) }),
			one(desc("vision_hits_total", "Pages that did not go through the vision tower, since an earlier one had."), counter, func(s stats) float64 { return float64(s.Cache.VisionHits) }),
			one(desc("prefix_hits_total", "Pages whose prompt began behind an earlier one's."), counter, func(s stats) float64 { return float64(s.Cache.PrefixHits) }),
			one(desc("generated_tokens_total", "Tokens written."), counter, func(s stats) float64 { return float64(s.Tokens.Generated) }),
			one(desc("prefill_tokens_per_second", "Tokens of prompts read a second, lately."), gauge, func(s stats) float64 { return s.Tokens.PrefillRate }),
			one(desc("decode_tokens_per_second", "Tokens written a second, lately."), gauge, func(s stats) float64 { return s.Tokens.DecodeRate }),
			one(desc("cache_tokens", "Tokens in the key-value cache."), gauge, func(s stats) float64 { return float64(s.Cache.Tokens) }),
			one(desc("cache_capacity_tokens", "Tokens that the cache has room for as it is allocated."), gauge, func(s stats) float64 { return float64(s.Cache.Capacity) }),
			one(desc("compilations_total", "Programs compiled."), counter, func(s stats) float64 { return float64(s.Programs.Compilations) }),
			one(desc("compile_seconds_total", "Time of compiling them."), counter, func(s stats) float64 { return s.Programs.CompileTime }),
			one(desc("programs", "Programs held."), gauge, func(s stats) float64 { return float64(s.Programs.Programs) }),
			one(desc("program_calls_total", "Calls of programs."), counter, func(s stats) float64 { return float64(s.Programs.Calls) }),
			one(desc("program_call_seconds_total", "Time of these calls; on GPUs that of starting them."), counter, func(s stats) float64 { return s.Programs.CallTime }),
			known("used", func(m backend.MemoryStats) int64 { return m.Used }),
			known("reserved", func(m backend.MemoryStats) int64 { return m.Reserved }),
			known("peak", func(m backend.MemoryStats) int64 { return m.Peak }),
			known("available", func(m backend.MemoryStats) int64 { return m.Available }),
			known("total", func(m backend.MemoryStats) int64 { return m.Total }),
		}, []summary{
			{desc("waiting_seconds", "Time of pages from being handed in to their first slot."), func(s stats) durations { return durations(s.Waiting) }},
			{desc("first_token_seconds", "Time of pages from being handed in to their first token."), func(s stats) durations { return durations(s.FirstToken) }},
			{desc("page_seconds", "Time of pages from being handed in to their end, of those that ended well."), func(s stats) durations { return durations(s.PageTime) }},
		}
}

// durations are what an engine says of a time.
type durations backend.DurationStats

// quantiles are those of the last values.
func (d durations) quantiles() map[float64]float64 {
	if d.Count == 0 {
		return nil
	}
	return map[float64]float64{0.5: d.P50, 0.9: d.P90, 0.99: d.P99}
}
