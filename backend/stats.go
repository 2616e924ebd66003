package backend

import (
	"math"
	"slices"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// Stats say how an engine is doing and what it has done since it was loaded. In JSON times are seconds and sizes bytes.
type Stats struct {
	// Uptime is the time since the engine was loaded, in seconds.
	Uptime float64 `json:"uptime_seconds"`
	// Pages count the pages.
	Pages PageStats `json:"pages"`
	// Slots say how full the engine is.
	Slots SlotStats `json:"slots"`
	// Tokens count the tokens.
	Tokens TokenStats `json:"tokens"`
	// Waiting is the time of pages from being handed in to their first slot, FirstToken that to their first token, and PageTime that
	// to their end: of those that ended well.
	Waiting    DurationStats `json:"waiting"`
	FirstToken DurationStats `json:"first_token"`
	PageTime   DurationStats `json:"page_time"`
	// Cache is the key-value cache, and what pages have found of earlier ones.
	Cache CacheStats `json:"cache"`
	// Programs are the compiled parts of the model.
	Programs ProgramStats `json:"programs"`
	// Memory is the device's, at most a second old. All zero if it could not be had; MemoryError then says why.
	Memory      MemoryStats `json:"memory"`
	MemoryError string      `json:"memory_error,omitzero"`
}

// PageStats count pages. Queued and Running are those of now, the others all since the engine was loaded. A page that was handed in
// is in exactly one of Queued, Running, Done, Failed and Canceled.
type PageStats struct {
	// Queued counts the pages that wait for a slot, Running those that have one.
	Queued  int64 `json:"queued"`
	Running int64 `json:"running"`
	// Done counts the pages that ended well, at their bound of tokens too.
	Done int64 `json:"done"`
	// Failed counts those that ended with an error, Canceled those whose context ended, or the engine, before they did.
	Failed   int64 `json:"failed"`
	Canceled int64 `json:"canceled"`
	// Evictions counts how often a page lost its slot to others and waited again.
	Evictions int64 `json:"evictions"`
}

// SlotStats say how full an engine is.
type SlotStats struct {
	// InUse counts the slots with a page, Total all of them.
	InUse int64 `json:"in_use"`
	Total int64 `json:"total"`
	// Steps counts the calls of the model that wrote tokens, MeanActive is how many pages took part in one on average.
	Steps      int64   `json:"steps"`
	MeanActive float64 `json:"mean_active"`
}

// TokenStats count tokens, those of pages that are still running too.
type TokenStats struct {
	// Prompt counts the tokens of the prompts that were read, the images' included, Visual those of the images alone. A page that was
	// evicted counts as often as its prompt was read.
	Prompt int64 `json:"prompt"`
	Visual int64 `json:"visual"`
	// Cached counts the tokens of the prompts that were not run again, since an earlier prompt began with them ([LoadOptions].PrefixCache).
	Cached int64 `json:"cached"`
	// Generated counts the tokens that were written, also those that ended a page and are not part of its text.
	Generated int64 `json:"generated"`
	// PrefillRate and DecodeRate are the tokens of prompts run and the tokens written a second, of all pages together, over wall time
	// in which nothing happened too: what was ten seconds ago counts half as much as what is now. (See [RateHalfLife].)
	PrefillRate float64 `json:"prefill_per_second"`
	DecodeRate  float64 `json:"decode_per_second"`
}

// CacheStats say how full the key-value cache is, and how often work was saved.
type CacheStats struct {
	// Tokens counts the tokens that it holds, Capacity those that it has room for as it is allocated.
	Tokens   int64 `json:"tokens"`
	Capacity int64 `json:"capacity"`
	// VisionHits counts the pages that did not go through the vision tower, PrefixHits those whose prompt began behind another's, since
	// an earlier one was like them ([LoadOptions].VisionCache, PrefixCache).
	VisionHits int64 `json:"vision_hits"`
	PrefixHits int64 `json:"prefix_hits"`
}

// ProgramStats are [qwen.Stats] with times in seconds.
type ProgramStats struct {
	// Compilations and CompileTime count what was compiled, Loaded and LoadTime what was found in the cache of compiled programs
	// ([LoadOptions.CompileCache]), Programs what is held of both.
	Compilations int     `json:"compilations"`
	CompileTime  float64 `json:"compile_seconds"`
	Loaded       int     `json:"loaded"`
	LoadTime     float64 `json:"load_seconds"`
	Programs     int     `json:"programs"`
	// Calls and CallTime count the runs. On GPUs the time is that of starting them.
	Calls    int64   `json:"calls"`
	CallTime float64 `json:"call_seconds"`
}

func programStats(s qwen.Stats) ProgramStats {
	return ProgramStats{
		Compilations: s.Compilations, CompileTime: s.CompileTime.Seconds(), Loaded: s.Loaded, LoadTime: s.LoadTime.Seconds(), Programs: s.Programs,
		Calls: s.Calls, CallTime: s.CallTime.Seconds(),
	}
}

// QuantileWindow is how many of the last values the quantiles of a [DurationStats] are of.
const QuantileWindow = 256

// DurationStats sum up times, in seconds. All but Count are 0 while there are none.
type DurationStats struct {
	// Count, Mean and Max are of all values, Last is the latest.
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_seconds"`
	Max   float64 `json:"max_seconds"`
	Last  float64 `json:"last_seconds"`
	// P50, P90 and P99 are quantiles of the last [QuantileWindow] values: the least of them that so many percent do not exceed.
	P50 float64 `json:"p50_seconds"`
	P90 float64 `json:"p90_seconds"`
	P99 float64 `json:"p99_seconds"`
}

// durations gather the values of a DurationStats.
type durations struct {
	count          int64
	sum, max, last time.Duration
	at             time.Time                     // of the last
	window         [QuantileWindow]time.Duration // value i of all is at i modulo its length
}

// recent are the values that quantiles are of.
func (d *durations) recent() []time.Duration { return d.window[:min(d.count, QuantileWindow)] }

func (d *durations) add(v time.Duration, at time.Time) {
	d.at = at
	d.window[d.count%QuantileWindow] = v
	d.count++
	d.sum += v
	d.max = max(d.max, v)
	d.last = v
}

func (d *durations) stats() DurationStats { return d.statsOf(d.recent()) }

// statsOf is stats with the values that the quantiles are of.
func (d *durations) statsOf(recent []time.Duration) DurationStats {
	if d.count == 0 {
		return DurationStats{}
	}
	sorted := slices.Sorted(slices.Values(recent))
	quantile := func(percent int) float64 { // by nearest rank
		return sorted[(percent*len(sorted)+99)/100-1].Seconds()
	}
	return DurationStats{
		Count: d.count, Mean: d.sum.Seconds() / float64(d.count), Max: d.max.Seconds(), Last: d.last.Seconds(),
		P50: quantile(50), P90: quantile(90), P99: quantile(99),
	}
}

// RateHalfLife is the time after which work counts half in the rates of [TokenStats].
const RateHalfLife = 10 * time.Second

// rate is an average of tokens a second over wall time, in which the past counts exponentially less.
type rate struct {
	value       float64 // at last, as if nothing had been before first
	first, last time.Time
}

// fade is what is left of a weight after a time.
func fade(d time.Duration) float64 { return math.Exp2(-d.Seconds() / RateHalfLife.Seconds()) }

// add counts n tokens, the work on which went on evenly from one time to another. The times at which works end do not go back.
func (r *rate) add(n int, from, to time.Time) {
	if r.first.IsZero() || from.Before(r.first) {
		r.first = from
	}
	if r.last.Before(to) {
		r.value *= fade(to.Sub(r.last))
		r.last = to
	}
	if d := to.Sub(from); d > 0 {
		r.value += float64(n) / d.Seconds() * (1 - fade(d))
	} else {
		r.value += float64(n) * math.Ln2 / RateHalfLife.Seconds() // what the line above tends to
	}
}

// at tells the average at a time. The weights of the time since first do not add up to 1 at the beginning, and are made to.
func (r *rate) at(now time.Time) float64 {
	if r.first.IsZero() || !r.first.Before(now) {
		return 0
	}
	return r.value * fade(max(0, now.Sub(r.last))) / (1 - fade(now.Sub(r.first)))
}
