package backend

import (
	"context"
	"time"
)

// Memory tells the memory of all devices that the engines run on, together: see [Engine.Memory].
func (e *Engines) Memory(ctx context.Context) (MemoryStats, error) {
	var sum MemoryStats
	for i, m := range e.members {
		one, err := m.engine.Memory(ctx)
		if err != nil {
			return MemoryStats{}, err
		}
		if i == 0 || !e.device.IsCPU() { // devices that are one CPU share its memory
			sum = sum.plus(one)
		}
	}
	return sum, nil
}

// GPUs says what nvidia-smi says of the GPUs that the engines run on: see [Device.GPUs].
func (e *Engines) GPUs(ctx context.Context) ([]GPU, error) { return e.device.GPUs(ctx) }

// Each tells the statistics of each engine.
func (e *Engines) Each() []Stats {
	var all []Stats
	for _, m := range e.members {
		all = append(all, m.engine.Stats())
	}
	return all
}

// Stats are those of all engines together: counts, rates and sizes are added up. A page that was read once more by another engine
// counts where it ended, but in the tokens and the times of both.
func (e *Engines) Stats() Stats {
	var collectors []*statsCollector
	for _, m := range e.members {
		collectors = append(collectors, m.engine.scheduler.stats)
	}
	s := sumStats(e.Each(), e.device.IsCPU())
	s.Waiting = sumDurations(collectors, func(c *statsCollector) durations { return c.waiting })
	s.FirstToken = sumDurations(collectors, func(c *statsCollector) durations { return c.first })
	s.PageTime = sumDurations(collectors, func(c *statsCollector) durations { return c.ends })
	e.mu.Lock()
	s.Pages.Failed -= e.moved
	e.mu.Unlock()
	return s
}

// sumStats adds up the statistics of engines, all but their times. Devices that are one CPU share its memory.
func sumStats(all []Stats, sharedMemory bool) Stats {
	var sum Stats
	var active float64
	for i, s := range all {
		sum.Uptime = max(sum.Uptime, s.Uptime)
		sum.Pages.Queued += s.Pages.Queued
		sum.Pages.Running += s.Pages.Running
		sum.Pages.Done += s.Pages.Done
		sum.Pages.Failed += s.Pages.Failed
		sum.Pages.Canceled += s.Pages.Canceled
		sum.Pages.Evictions += s.Pages.Evictions
		sum.Slots.InUse += s.Slots.InUse
		sum.Slots.Total += s.Slots.Total
		sum.Slots.Steps += s.Slots.Steps
		active += s.Slots.MeanActive * float64(s.Slots.Steps)
		sum.Tokens.Prompt += s.Tokens.Prompt
		sum.Tokens.Visual += s.Tokens.Visual
		sum.Tokens.Cached += s.Tokens.Cached
		sum.Tokens.Generated += s.Tokens.Generated
		sum.Tokens.PrefillRate += s.Tokens.PrefillRate
		sum.Tokens.DecodeRate += s.Tokens.DecodeRate
		sum.Cache.Tokens += s.Cache.Tokens
		sum.Cache.Capacity += s.Cache.Capacity
		sum.Cache.VisionHits += s.Cache.VisionHits
		sum.Cache.PrefixHits += s.Cache.PrefixHits
		sum.Programs.Compilations += s.Programs.Compilations
		sum.Programs.CompileTime += s.Programs.CompileTime
		sum.Programs.Loaded += s.Programs.Loaded
		sum.Programs.LoadTime += s.Programs.LoadTime
		sum.Programs.Programs += s.Programs.Programs
		sum.Programs.Calls += s.Programs.Calls
		sum.Programs.CallTime += s.Programs.CallTime
		if i == 0 || !sharedMemory {
			sum.Memory = sum.Memory.plus(s.Memory)
		}
		if sum.MemoryError == "" {
			sum.MemoryError = s.MemoryError
		}
	}
	if sum.Slots.Steps > 0 {
		sum.Slots.MeanActive = active / float64(sum.Slots.Steps)
	}
	return sum
}

// sumDurations puts times of several engines together, the quantiles too.
func sumDurations(collectors []*statsCollector, of func(c *statsCollector) durations) DurationStats {
	var sum durations
	var recent []time.Duration
	for _, c := range collectors {
		c.mu.Lock()
		d := of(c)
		c.mu.Unlock()
		recent = append(recent, d.recent()...)
		sum.count += d.count
		sum.sum += d.sum
		sum.max = max(sum.max, d.max)
		if d.at.After(sum.at) {
			sum.at, sum.last = d.at, d.last
		}
	}
	return sum.statsOf(recent)
}
