// Package program compiles GoMLX graphs once a shape and runs them on raw device buffers.
//
// It is the fence of the library: graph code panics, and here panics become errors. Its Run takes a context, which is
// obeyed before each call; a call that is under way is not interrupted, since PJRT cannot do it.
package program

import (
	"context"
	"fmt"
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
}

// Input declares the next input of the program.
func (b *Builder) Input(name string, dtype dtypes.DType, dims ...int) *graph.Node {
	shape := shapes.Make(dtype, dims...)
	b.inputs = append(b.inputs, shape)
	return graph.Parameter(b.G, name, shape)
}

// Program is a compiled graph. It may be run from several goroutines at once.
type Program struct {
	name      string
	exec      *counted
	inputs    []shapes.Shape
	compiling time.Duration
}

// Cache holds the programs of one backend by name. It may be used from several goroutines at once.
type Cache struct {
	backend compute.Backend
	mu      sync.Mutex
	entries map[string]*entry
	// compiled are the programs of entries that are ready, which an entry itself does not tell without waiting for it.
	compiled []*Program
	observe  func(name string, took time.Duration)
}

type entry struct {
	once    sync.Once
	program *Program
	err     error
}

// NewCache makes an empty cache for a backend.
func NewCache(backend compute.Backend) *Cache {
	return &Cache{backend: backend, entries: map[string]*entry{}}
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
		if e.program, e.err = compile(c.backend, name, build); e.err == nil {
			c.add(e.program)
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
}

func compile(backend compute.Backend, name string, build func(b *Builder) []*graph.Node) (p *Program, err error) {
	defer fence("compile "+name, &err)
	start := time.Now()
	b := &Builder{G: graph.NewGraph(backend, name)}
	outputs := build(b)
	b.applyAliases()
	if err := b.G.Compile(outputs...); err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	return &Program{name: name, exec: &counted{Executable: b.G.Executable()}, inputs: b.inputs, compiling: time.Since(start)}, nil
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
	paced(ctx, func() { outputs, err = p.execute(inputs, donated) })
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", p.name, err)
	}
	return outputs, nil
}

func (p *Program) execute(inputs []compute.Buffer, donated []bool) (outputs []compute.Buffer, err error) {
	defer fence("run "+p.name, &err)
	return p.exec.Execute(inputs, donated, 0)
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
