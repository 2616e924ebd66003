package program

import (
	"errors"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
)

// Lower builds a graph and returns the StableHLO text that XLA would be given of it, with the marks of [Builder.Alias], without
// compiling it: to look at, or to compile it for a device that is not there. Only go-xla's backend has such a text.
func Lower(backend compute.Backend, name string, build func(b *Builder) []*graph.Node) (text []byte, err error) {
	defer fence("lower "+name, &err)
	b := &Builder{G: graph.NewGraph(backend, name)}
	outputs := build(b)
	if !b.applyAliases() {
		return nil, errors.New("the marks of aliased inputs could not be set")
	}
	main, ok := field(b.G, "currentFunc").(*graph.Function)
	if !ok {
		return nil, errors.New("GoMLX's graph is not as it was")
	}
	main.Return(outputs, nil)
	builder, ok := field(field(b.G, "builder"), "builder").(interface{ Build() ([]byte, error) })
	if !ok {
		return nil, errors.New("the backend has no StableHLO text, or go-xla is not as it was")
	}
	return builder.Build()
}
