// Package program compiles GoMLX graphs once a shape and runs them on raw device buffers.
//
// It is the fence of the library: graph code panics, and here panics become errors. Its Run takes a context, which is
// obeyed before each call; a call that is under way is not interrupted, since PJRT cannot do it.
package program

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Builder is what a graph is built with. Inputs come in the order in which they are declared.
type Builder struct {
	// G is the graph under construction.
	G       *graph.Graph
	inputs  []shapes.Shape
	aliases [][2]int
	// rank tells the device its place in the mesh. It is one more parameter of the graph, at rankAt among the others.
	rank   *graph.Node
	rankAt int
}

// Input declares the next input of the program.
func (b *Builder) Input(name string, dtype dtypes.DType, dims ...int) *graph.Node {
	shape := shapes.Make(dtype, dims...)
	b.inputs = append(b.inputs, shape)
	return graph.Parameter(b.G, name, shape)
}

// Inputs counts the inputs that have been declared.
func (b *Builder) Inputs() int { return len(b.inputs) }

// Rank is the place of the device in the mesh, counted from 0, an int32 scalar. It is no input of Run's.
func (b *Builder) Rank() *graph.Node {
	switch {
	case b.G.NumDevices() <= 1:
		return graph.Const(b.G, int32(0))
	case b.rank == nil:
		b.rank, b.rankAt = graph.Parameter(b.G, "rank", shapes.Make(dtypes.Int32)), len(b.inputs)
	}
	return b.rank
}

// parameter is the place of an input among the parameters of the graph.
func (b *Builder) parameter(input int) int {
	if b.rank != nil && input >= b.rankAt {
		return input + 1
	}
	return input
}

// Program is a compiled graph. It may be run from several goroutines at once.
type Program struct {
	name      string
	mesh      *Mesh
	exec      *counted
	inputs    []shapes.Shape
	rank      compute.Buffer // the cache's, where the program takes it, as one more input at rankAt
	rankAt    int
	compiling time.Duration
	ready     bool // it was loaded, and not compiled
}

// Cache holds the programs of one mesh by name. It may be used from several goroutines at once.
type Cache struct {
	mesh    *Mesh
	mu      sync.Mutex
	entries map[string]*entry
	// compiled are the programs of entries that are ready, which an entry itself does not tell without waiting for it.
	compiled []*Program
	observe  func(Cost)
	through  func(compile func()) (ready bool)
	rank     compute.Buffer // what tells the devices their places, made when the first program asks
}

type entry struct {
	once    sync.Once
	program *Program
	err     error
}

// NewCache makes an empty cache for the first device of a backend.
func NewCache(backend compute.Backend) *Cache { return NewCacheOn(NewMesh(backend)) }

// NewCacheOn makes an empty cache for the devices of a mesh.
func NewCacheOn(m *Mesh) *Cache {
	return &Cache{mesh: m, entries: map[string]*entry{}}
}

// Get returns the program of that name; the first call builds and compiles it. Two programs of one name must be the same.
func (c *Cache) Get(name string, build func(b *Builder) []*graph.Node) (*Program, error) {
	c.mu.Lock()
	e := c.entries[name]
	if e == nil {
		e = &entry{}
		c.entries[name] = e
	}
	c.mu.Unlock()
	e.once.Do(func() {
		if e.program, e.err = c.compile(name, build); e.err == nil {
			c.add(e.program)
			return
		}
		c.mu.Lock() // what failed for want of memory may do another time
		defer c.mu.Unlock()
		if c.entries[name] == e {
			delete(c.entries, name)
		}
	})
	return e.program, e.err
}

// Len counts the programs that have been asked for.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// Close frees all programs. The cache must not be used afterwards.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.program != nil {
			e.program.exec.Finalize()
		}
	}
	c.entries, c.compiled = map[string]*entry{}, nil
	if c.rank != nil {
		_ = c.rank.Finalize() // it is gone either way
		c.rank = nil
	}
}

func (c *Cache) compile(name string, build func(b *Builder) []*graph.Node) (p *Program, err error) {
	defer fence("compile "+name, &err)
	start := time.Now()
	b := &Builder{G: graph.NewGraph(c.mesh.backend, name)}
	if err := c.mesh.spread(b.G); err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	outputs := build(b)
	b.applyAliases()
	ready := false
	if c.through == nil {
		err = b.G.Compile(outputs...)
	} else {
		ready = c.through(func() { err = b.G.Compile(outputs...) })
	}
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	p = &Program{name: name, mesh: c.mesh, exec: &counted{Executable: b.G.Executable()}, inputs: b.inputs, ready: ready}
	if b.rank != nil {
		if p.rank, err = c.ranks(); err != nil {
			p.exec.Finalize()
			return nil, fmt.Errorf("compile %s: %w", name, err)
		}
		p.rankAt = b.rankAt
	}
	p.compiling = time.Since(start)
	return p, nil
}

// ranks is what programs get that ask for the rank.
func (c *Cache) ranks() (_ compute.Buffer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rank == nil {
		c.rank, err = c.mesh.rank()
	}
	return c.rank, err
}

// Run executes the program on its inputs, which keep their buffers except for those whose index stands in donate: these
// are taken and must not be used again. The caller owns the outputs and finalizes them.
func (p *Program) Run(ctx context.Context, inputs []compute.Buffer, donate ...int) (outputs []compute.Buffer, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(inputs) != len(p.inputs) {
		return nil, fmt.Errorf("run %s: %d inputs given, %d declared", p.name, len(inputs), len(p.inputs))
	}
	donated := make([]bool, len(inputs))
	for _, i := range donate {
		donated[i] = true
	}
	if p.rank != nil {
		inputs, donated = slices.Insert(slices.Clone(inputs), p.rankAt, p.rank), slices.Insert(donated, p.rankAt, false)
	}
	Paced(ctx, func() { outputs, err = p.execute(inputs, donated) })
	if err != nil {
		p.drop(inputs, donated)
		return nil, &RunError{p.name, err}
	}
	return outputs, nil
}

// drop frees what a call that has failed was to take. go-xla leaves it to the garbage collector, which does not see the memory of a
// device; freeing twice does no harm there. The pure-Go backend may have done so, and used the memory again.
func (p *Program) drop(inputs []compute.Buffer, donated []bool) {
	if p.mesh.backend.Name() == "go" {
		return
	}
	for i, taken := range donated {
		if taken {
			_ = inputs[i].Finalize() // it is gone either way
		}
	}
}

// RunError is what became of a program that did not run: a fault of the device, as a rule, and not of what it was given.
type RunError struct {
	// Program is its name in its cache.
	Program string
	// Err is what the backend says.
	Err error
}

// Error names the program.
func (e *RunError) Error() string { return fmt.Sprintf("run %s: %v", e.Program, e.Err) }

// Unwrap returns what the backend says.
func (e *RunError) Unwrap() error { return e.Err }

// execute runs the program on the devices of its mesh: the inputs of the first, then those of the second, and likewise the outputs.
func (p *Program) execute(inputs []compute.Buffer, donated []bool) (outputs []compute.Buffer, err error) {
	defer fence("run "+p.name, &err)
	n := p.mesh.Size()
	if n == 1 {
		return p.exec.Execute(inputs, donated, p.mesh.devices[0])
	}
	all := make([]compute.Buffer, 0, n*len(inputs))
	for place := range n {
		for i, b := range inputs {
			part, err := on(b, place, n)
			if err != nil {
				return nil, fmt.Errorf("input %d: %w", i, err)
			}
			all = append(all, part)
		}
	}
	p.mesh.launching.Lock()
	defer p.mesh.launching.Unlock()
	made, err := p.exec.Execute(all, slices.Repeat(donated, n), p.mesh.devices[0])
	if err != nil {
		return nil, err
	}
	for i := range len(made) / n {
		parts := make([]compute.Buffer, n)
		for place := range parts {
			parts[place] = made[place*len(made)/n+i]
		}
		outputs = append(outputs, gather(parts))
	}
	return outputs, nil
}

// fence turns a panic of graph code into an error.
func fence(what string, err *error) {
	if r := recover(); r != nil {
		if e, ok := r.(error); ok {
			*err = fmt.Errorf("%s: %w", what, e)
		} else {
			*err = fmt.Errorf("%s: %v", what, r)
		}
	}
}
