package program

import (
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/gomlx/go-xla/stablehlo"
	"github.com/gomlx/go-xla/types/shapes"
)

// PutRows writes rows [n, width] over those of a table [all, width] that index, int32 [n], names; all of them must differ. In a
// loop, or where the table is an input with an [Builder.Alias], the table changes in place.
//
// XLA does it in one operation, for which go-xla v0.4.5 has no function: there a scatter adds. So the function that a scatter
// applies, which go-xla keeps for later use, is replaced for the time by one that takes the new number. Where go-xla is not as it
// was, or the backend is another, the rows are written one after the other, which gives the same.
func (b *Builder) PutRows(table, index, rows *graph.Node) *graph.Node {
	if restore, ok := b.replaceSum(table.DType()); ok {
		defer restore()
		return graph.ScatterSum(table, graph.ExpandAxes(index, -1), rows, false, true)
	}
	for i := range rows.Shape().Dim(0) {
		at := graph.Reshape(graph.Slice(index, graph.AxisElem(i)))
		row := graph.Slice(rows, graph.AxisElem(i))
		table = graph.DynamicUpdateSlice(table, row, []*graph.Node{at, graph.ScalarZero(b.G, dtypes.Int32)})
	}
	return table
}

// replaceSum makes the sums of reductions and scatters of a type take their second argument, until restore is called.
func (b *Builder) replaceSum(dtype dtypes.DType) (restore func(), ok bool) {
	kept, ok := mapField(field(b.G, "builder"), "cacheReductions")
	if !ok || kept.Type().Elem() != reflect.TypeFor[*stablehlo.Function]() || kept.Type().Key().Kind() != reflect.Struct {
		return nil, false
	}
	key := reflect.New(kept.Type().Key())
	for name, value := range map[string]any{"dtype": dtype, "opType": compute.OpTypeReduceSum} {
		f := key.Elem().FieldByName(name)
		if !f.IsValid() || f.Type() != reflect.TypeOf(value) {
			return nil, false
		}
		reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Set(reflect.ValueOf(value))
	}
	current, ok := field(field(b.G, "currentFunc"), "backendFunc").(compute.Function)
	if !ok {
		return nil, false
	}
	function, ok := field(current, "fn").(*stablehlo.Function)
	if !ok || function == nil {
		return nil, false
	}
	second := function.Closure()
	if _, err := second.NamedInput("lhs", shapes.Make(dtype)); err != nil {
		return nil, false
	}
	rhs, err := second.NamedInput("rhs", shapes.Make(dtype))
	if err != nil || second.Return(rhs) != nil {
		return nil, false
	}
	before := kept.MapIndex(key.Elem()) // the zero value, which deletes, where there is none
	kept.SetMapIndex(key.Elem(), reflect.ValueOf(second))
	return func() { kept.SetMapIndex(key.Elem(), before) }, true
}
