package program

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gomlx/compute"
)

// Stats count what a cache's programs have cost so far.
type Stats struct {
	// Compilations counts the programs that were built and compiled, CompileTime is the wall time that it took, added up: programs
	// that were compiled side by side count each for itself. Those that failed are in neither. A backend that compiles nothing, as
	// the pure-Go one, has the building of its graphs here.
	Compilations int
	CompileTime  time.Duration
	// Loaded counts the programs that were built and then found compiled, see [Cache.Through], and LoadTime is what that took, added up.
	Loaded   int
	LoadTime time.Duration
	// Programs counts the programs that are held.
	Programs int
	// Calls counts the runs that ended well, CallTime is the wall time in them, added up. Where a backend returns before its device
	// has computed, as XLA on GPUs does, it is the time until then.
	Calls    int64
	CallTime time.Duration
}

// Cost is one program's part of [Stats].
type Cost struct {
	// Name is the program's in its cache.
	Name string
	// CompileTime is what building and compiling it took, or, if it was Loaded, building and loading it.
	CompileTime time.Duration
	Loaded      bool
	// Calls and CallTime are its runs that ended well.
	Calls    int64
	CallTime time.Duration
}

// counted is an executable that counts its runs.
type counted struct {
	compute.Executable
	calls, nanoseconds atomic.Int64
}

// Execute runs it. One that panics is not counted either.
func (c *counted) Execute(in []compute.Buffer, donate []bool, device compute.DeviceNum) (out []compute.Buffer, err error) {
	start := time.Now()
	if out, err = c.Executable.Execute(in, donate, device); err == nil {
		c.calls.Add(1)
		c.nanoseconds.Add(int64(time.Since(start)))
	}
	return out, err
}

func (p *Program) stats() Cost {
	return Cost{
		Name: p.name, CompileTime: p.compiling, Loaded: p.ready,
		Calls: p.exec.calls.Load(), CallTime: time.Duration(p.exec.nanoseconds.Load()),
	}
}

// Stats tells the counts so far. They go to zero with Close.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Programs: len(c.compiled)}
	for _, p := range c.compiled {
		one := p.stats()
		if one.Loaded {
			s.Loaded++
			s.LoadTime += one.CompileTime
		} else {
			s.Compilations++
			s.CompileTime += one.CompileTime
		}
		s.Calls += one.Calls
		s.CallTime += one.CallTime
	}
	return s
}

// ByProgram tells the counts of each program, those with the most time in runs first.
func (c *Cache) ByProgram() []Cost {
	c.mu.Lock()
	all := make([]Cost, len(c.compiled))
	for i, p := range c.compiled {
		all[i] = p.stats()
	}
	c.mu.Unlock()
	slices.SortStableFunc(all, func(a, b Cost) int { return cmp.Compare(b.CallTime, a.CallTime) })
	return all
}

// Observe has f called after each compilation, or loading in its place, by the goroutine that compiled, which goes on when f returns.
// The program has not run. It is set before the first program is asked for.
func (c *Cache) Observe(f func(Cost)) { c.observe = f }

// Through has f run what compiles a program: it may find that compiled already, and then says so. It is set before the first program is
// asked for.
func (c *Cache) Through(f func(compile func()) (ready bool)) { c.through = f }

// add counts a program that has been compiled.
func (c *Cache) add(p *Program) {
	c.mu.Lock()
	c.compiled = append(c.compiled, p)
	c.mu.Unlock()
	if c.observe != nil {
		c.observe(p.stats())
	}
}
