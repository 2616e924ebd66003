package qwen

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph that writes several tokens a slot in one call: all layers and the choice of the token, in a loop.

// loopShape is what a program of the loop is compiled for.
type loopShape struct {
	slots, capacity, rounds, stops int
	draws                          bool // or all rows are greedy
}

func (s loopShape) String() string {
	return fmt.Sprintf("loop %d %d %d %d %t", s.slots, s.capacity, s.rounds, s.stops, s.draws)
}

// carried are the inputs of a loop, all of which its state must hold.
type carried struct {
	b     *program.Builder
	nodes []*Node
}

// input declares an input, and returns where in the state it is.
func (c *carried) input(name string, dtype dtypes.DType, dims ...int) int {
	return c.add(c.b.Input(name, dtype, dims...))
}

func (c *carried) add(x *Node) int {
	c.nodes = append(c.nodes, x)
	return len(c.nodes) - 1
}

// params declares parameters, and returns what finds them in the state. A prefix tells apart those of the same name.
func (c *carried) params(m *Model, prefix string, declared []param) func(state []*Node) params {
	p := m.declareAs(c.b, prefix, declared)
	at := map[string][][2]int{} // of each part: its numbers, and its scale or -1
	for _, d := range declared {
		for _, part := range p[d.name] {
			place := [2]int{c.add(part.W), -1}
			if part.Scale != nil {
				place[1] = c.add(part.Scale)
			}
			at[d.name] = append(at[d.name], place)
		}
	}
	return func(state []*Node) params {
		inside := params{}
		for name, places := range at {
			for _, place := range places {
				part := nn.Part{W: state[place[0]]}
				if place[1] >= 0 {
					part.Scale = state[place[1]]
				}
				inside[name] = append(inside[name], part)
			}
		}
		return inside
	}
}

// loopGraph runs rounds of a step for all slots, for as long as one of them has something left to write, at most rounds and
// at most count (int32) of them. Inputs a slot: the last token, the length of its sequence and how many tokens it may get (int32
// [slots]); the rotary angles of each round [rounds, slots, n]; the tokens that end it (int32 [slots, stops], -1 for none); where it
// draws, what [nn.Sample] takes, of which what is barred counts for the first round; what each layer keeps; the weights. Returns the
// tokens that were chosen and their log-probabilities as chosen packs them, [2, rounds, slots], -1 for none, and what the layers keep.
//
// A slot that has nothing left is computed all the same, and writes into the row behind its sequence, for which there must be room.
func (m *Model) loopGraph(s loopShape) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		c := &carried{b: b}
		round := c.add(Const(b.G, int32(0)))
		token, length, left := c.input("token", dtypes.Int32, s.slots), c.input("length", dtypes.Int32, s.slots), c.input("left", dtypes.Int32, s.slots)
		count := c.input("count", dtypes.Int32)
		cos := c.input("cos", dtypes.Float32, s.rounds, s.slots, t.RotaryDim/2)
		sin := c.input("sin", dtypes.Float32, s.rounds, s.slots, t.RotaryDim/2)
		stops := c.input("stops", dtypes.Int32, s.slots, s.stops)
		draw := func([]*Node) nn.SampleInputs { return nn.SampleInputs{} }
		if s.draws {
			draw = c.sampleInputs(s.slots)
		}
		first := b.Inputs()
		kept := make([][2]int, t.Layers)
		for i := range kept {
			for j, shape := range m.keptShapes(i, s.slots, s.capacity) {
				kept[i][j] = c.input(fmt.Sprintf("kept%d_%d", i, j), shape.DType, shape.Dimensions...)
				b.Alias(first+2*i+j, 1+2*i+j)
			}
		}
		embedding := c.params(m, "", embeddingParams(t))
		head := c.params(m, "", m.local.headParams())
		layers := make([]func([]*Node) params, t.Layers)
		for i := range layers {
			layers[i] = c.params(m, fmt.Sprintf("layer%d/", i), layerParams(t, t.kindAt(i)))
		}
		none := Scalar(b.G, dtypes.Int32, -1)
		tokens := c.add(BroadcastToDims(none, s.rounds, s.slots))
		logProbs := c.add(BroadcastToDims(none, s.rounds, s.slots))

		body := func(state []*Node) []*Node {
			next := append([]*Node{}, state...)
			at := state[round]
			zero := ScalarZero(b.G, dtypes.Int32)
			angles := func(i int) *Node {
				return Reshape(DynamicSlice(state[i], []*Node{at, zero, zero}, []int{1, s.slots, t.RotaryDim / 2}), s.slots, t.RotaryDim/2)
			}
			turn := [2]*Node{angles(cos), angles(sin)}
			live := GreaterThan(state[left], ZerosLike(state[left])) // [slots]
			table := embedding(state)["embed_tokens.weight"]
			x := m.lookup(b, table, state[token], t.VocabSize)
			for i := range layers {
				keep := [2]*Node{state[kept[i][0]], state[kept[i][1]]}
				x, keep = m.loopLayer(b, t.kindAt(i), layers[i](state), x, turn, state[length], live, keep)
				next[kept[i][0]], next[kept[i][1]] = keep[0], keep[1]
			}
			logits := m.headLogits(b, head(state), table, x)
			chosenTokens, chosenProbs := m.loopChoose(logits, draw(state), at, s.draws)
			// write puts a round's numbers, of slots that are live, where they belong.
			write := func(all, fresh *Node) *Node {
				fresh = Where(live, fresh, Neg(OnesLike(fresh)))
				return DynamicUpdateSlice(all, ExpandAxes(fresh, 0), []*Node{at, zero})
			}
			next[tokens] = write(state[tokens], chosenTokens)
			next[logProbs] = write(state[logProbs], Bitcast(chosenProbs, dtypes.Int32))
			ended := ReduceMax(ConvertDType(Equal(state[stops], ExpandAxes(chosenTokens, -1)), dtypes.Int32), -1)
			one := ConvertDType(live, dtypes.Int32)
			next[token] = Where(live, chosenTokens, state[token])
			next[length] = Add(state[length], one)
			next[left] = Mul(Sub(state[left], one), Sub(OnesLike(ended), Mul(ended, one)))
			next[round] = Add(at, OnesLike(at))
			return next
		}
		cond := func(state []*Node) []*Node {
			going := GreaterThan(ReduceMax(state[left]), ScalarZero(b.G, dtypes.Int32))
			return []*Node{LogicalAnd(going, LessThan(state[round], state[count]))}
		}
		end := b.While(c.nodes, cond, body)
		out := []*Node{Stack([]*Node{end[tokens], end[logProbs]}, 0)}
		for i := range kept {
			out = append(out, end[kept[i][0]], end[kept[i][1]])
		}
		return out
	}
}

// sampleInputs declares what a draw depends on.
func (c *carried) sampleInputs(slots int) func(state []*Node) nn.SampleInputs {
	temperature, topK, topP := c.input("temperature", dtypes.Float32, slots), c.input("top_k", dtypes.Int32, slots), c.input("top_p", dtypes.Float32, slots)
	seed, step := c.input("seed", dtypes.Uint32, slots), c.input("step", dtypes.Uint32, slots)
	barred := c.input("barred", dtypes.Int32, slots, MaxBarred)
	return func(state []*Node) nn.SampleInputs {
		return nn.SampleInputs{
			Temperature: state[temperature], TopK: state[topK], TopP: state[topP], Seed: state[seed], Step: state[step], Barred: state[barred],
		}
	}
}

// loopChoose chooses the tokens of a round, [slots], and tells their log-probabilities.
func (m *Model) loopChoose(logits *Node, in nn.SampleInputs, round *Node, draws bool) (tokens, logProbs *Node) {
	if !draws {
		return nn.Greedy(logits), nn.GreedyLogProb(logits)
	}
	in.Step = Add(in.Step, ConvertDType(round, dtypes.Uint32))
	isFirst := BroadcastToDims(Equal(round, ZerosLike(round)), in.Barred.Shape().Dimensions...)
	in.Barred = Where(isFirst, in.Barred, Neg(OnesLike(in.Barred)))
	tokens = nn.Sample(logits, in)
	return tokens, nn.LogProb(logits, tokens)
}

// loopLayer is one layer of a round. What a slot that is not live keeps stays as it is, but for the row behind its sequence.
func (m *Model) loopLayer(b *program.Builder, kind layerKind, p params, x *Node, turn [2]*Node, length, live *Node, kept [2]*Node) (*Node, [2]*Node) {
	if !kind.linear {
		x, keys, values := m.stepInPlace(b, p, x, turn[0], turn[1], length, kept[0], kept[1])
		return m.feedForward(p, x, kind)[0], [2]*Node{keys, values}
	}
	out, history, state := m.deltaStep(p, x, kept[0], kept[1], kind)
	for i, fresh := range []*Node{history, state} {
		shape := fresh.Shape().Dimensions
		here := live
		for range shape[1:] {
			here = ExpandAxes(here, -1)
		}
		kept[i] = Where(BroadcastToDims(here, shape...), fresh, kept[i])
	}
	return out[0], kept
}

// keptShapes are the shapes of what a layer keeps of all slots.
func (m *Model) keptShapes(layer, slots, capacity int) [2]shapes.Shape {
	t := m.local.Text
	if t.LinearAt(layer) {
		dims := m.stateDims()
		return [2]shapes.Shape{
			shapes.Make(dtypes.Float32, append([]int{slots}, dims[0]...)...), shapes.Make(dtypes.Float32, append([]int{slots}, dims[1]...)...),
		}
	}
	rows := shapes.Make(m.cacheType(), slots, t.KVHeads, capacity, t.HeadDim)
	return [2]shapes.Shape{rows, rows}
}
