package program

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
)

// ErrNoLoop is the error of a program with a loop in its graph on a backend that cannot build one. The caller then does
// without, one call a round.
var ErrNoLoop = errors.New("this backend builds no loops")

// Body computes something of a loop's state, one node for each that it is given.
type Body func(state []*graph.Node) []*graph.Node

// While runs body on the state for as long as cond, of which the first node is a boolean scalar, holds, and returns the state
// behind it. What body and cond read must be in the state: what body returns as it came, such as weights, is not copied. No
// loop may be inside of another.
//
// GoMLX v0.28.8 keeps constants of a graph, and go-xla v0.4.5 the functions of its reductions, for use in the function
// that made them first and not where they are seen: both are taken from the graph before and after each of the loop's functions. Where they
// are not where they were, or the backend has no loops, the program's error wraps [ErrNoLoop].
func (b *Builder) While(state []*graph.Node, cond, body Body) []*graph.Node {
	condition, err := b.closure("cond", state, cond)
	if err != nil {
		panic(err)
	}
	round, err := b.closure("body", state, body)
	if err != nil {
		panic(err)
	}
	return graph.While(condition, round, state...)
}

func (b *Builder) closure(name string, state []*graph.Node, f Body) (*graph.Function, error) {
	if err := b.forget(); err != nil {
		return nil, err
	}
	made := graph.NewClosure(b.G, func(g *graph.Graph) []*graph.Node {
		inputs := make([]*graph.Node, len(state))
		for i, s := range state {
			inputs[i] = graph.Parameter(g, fmt.Sprintf("%s_%d", name, i), s.Shape())
		}
		return f(inputs)
	})
	return made, b.forget()
}

// forget empties what graph and backend have kept for later use in one function.
func (b *Builder) forget() error {
	if !clearMap(b.G, "scalars") {
		return fmt.Errorf("%w: GoMLX's graph is not as it was", ErrNoLoop)
	}
	builder, ok := field(b.G, "builder").(compute.Builder)
	if !ok {
		return fmt.Errorf("%w: GoMLX's graph is not as it was", ErrNoLoop)
	}
	for _, name := range []string{"cacheReductions", "cacheArgMinMax", "cacheSelections"} {
		if !clearMap(builder, name) {
			return fmt.Errorf("%w: a %T is not go-xla's builder, or not as it was", ErrNoLoop, builder)
		}
	}
	return nil
}

// clearMap empties a map in a field of the struct that a pointer points to. It is false where there is none.
func clearMap(structPointer any, name string) bool {
	m, ok := mapField(structPointer, name)
	if ok {
		m.Clear()
	}
	return ok
}

// mapField is a map in a field, exported or not, of the struct that a pointer points to.
func mapField(structPointer any, name string) (reflect.Value, bool) {
	v := reflect.ValueOf(structPointer)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, false
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() || f.Kind() != reflect.Map {
		return reflect.Value{}, false
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem(), true
}
