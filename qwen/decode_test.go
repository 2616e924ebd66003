package qwen_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// decode writes with Decode into the active slots until each has as many tokens as the case, or n more where n is positive.
func (w *writer) decode(turn qwen.Turn) []qwen.Chosen {
	turn.Tokens, turn.Active = w.tokens, w.active
	out, err := w.m.Decode(w.t.Context(), w.cache, turn)
	require.NoError(w.t, err)
	for slot, c := range out {
		require.Len(w.t, c.LogProbs, len(c.Tokens))
		if w.active[slot] {
			require.NotEmpty(w.t, c.Tokens)
			w.tokens[slot] = c.Tokens[len(c.Tokens)-1]
			w.written[slot] = append(w.written[slot], c.Tokens...)
		} else {
			require.Empty(w.t, c.Tokens)
		}
	}
	return out
}

// loopRuntimes runs a test for every generation, token by token and, where the device can, in loops of the graph.
func loopRuntimes(t *testing.T, test func(t *testing.T, r qwen.Runtime, golden string)) {
	device := openDevice(t)
	for golden := range goldens {
		if !device.IsXLA() { // the same way for all
			if golden == "qwen3_vl" {
				test(t, device.Runtime(), golden)
			}
			continue
		}
		r := device.Runtime()
		r.HostCache, r.LoopTokens = false, 8
		t.Run(golden, func(t *testing.T) { test(t, r, golden) })
	}
}

// What a loop in the graph writes is what steps write: alone and beside others that begin later, have less left to write or
// end sooner, in a cache that becomes larger.
func TestDecode(t *testing.T) {
	loopRuntimes(t, func(t *testing.T, r qwen.Runtime, golden string) {
		w := newWriter(t, r, golden, 3)
		w.begin(0)
		w.decode(qwen.Turn{Limit: []int{3, 0, 0}})
		if w.cache.Length(0) > len(w.layout.IDs)+1 {
			require.Len(t, w.written[0], 4, "the limit of the slot")
		}
		w.begin(2)
		for len(w.written[0]) < len(w.want) || len(w.written[2]) < len(w.want) {
			limit := []int{max(1, len(w.want)-len(w.written[0])), 0, 2}
			w.decode(qwen.Turn{Limit: limit})
		}
		require.Equal(t, w.want, w.written[0][:len(w.want)])
		require.Equal(t, w.want, w.written[2][:len(w.want)])
		require.Equal(t, len(w.layout.IDs)+len(w.written[2])-1, w.cache.Length(2))

		// A token that ends the sequence is its last.
		stop := w.want[len(w.want)-3]
		w.active[0] = false
		w.begin(2)
		for len(w.written[2]) < len(w.want) && w.tokens[2] != stop {
			w.decode(qwen.Turn{Stops: [][]int32{nil, nil, {-5, stop}}})
		}
		require.Equal(t, stop, w.written[2][len(w.written[2])-1])
		require.NotContains(t, w.written[2][1:len(w.written[2])-1], stop)
		require.Equal(t, w.want[:len(w.written[2])], w.written[2])

		looped := false
		for _, p := range w.m.ProgramStats() {
			looped = looped || strings.HasPrefix(p.Name, "loop ")
		}
		require.Equal(t, r.LoopTokens > 1 && w.m.Spec.Text.Sparse == nil, looped, "experts are chosen by the host")

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.m.Decode(canceled, w.cache, qwen.Turn{Tokens: w.tokens, Active: w.active})
		require.ErrorIs(t, err, context.Canceled)
		_, err = w.m.Decode(t.Context(), w.cache, qwen.Turn{Tokens: w.tokens[:1], Active: w.active})
		require.ErrorContains(t, err, "for 3 slots")
	})
}

// Draws do not depend on how many tokens a call writes; what is barred is so for one token.
func TestDecodeDraws(t *testing.T) {
	device := openDevice(t)
	if !device.IsXLA() {
		t.Skip("the pure-Go backend writes a token a call, with Step and Choose")
	}
	r := device.Runtime()
	r.HostCache = false
	write := func(tokens int) ([][]int32, [][]float32) {
		r.LoopTokens = tokens
		w := newWriter(t, r, "qwen3_vl", 2)
		w.begin(0)
		w.begin(1)
		logProbs := make([][]float32, 2)
		barred := [][]int32{nil, {w.want[1]}}
		for len(w.written[0]) < 12 || len(w.written[1]) < 12 {
			limit := []int{max(1, 12-len(w.written[0])), max(1, 12-len(w.written[1]))}
			for slot, c := range w.decode(qwen.Turn{Limit: limit, Draw: &qwen.Draw{
				Temperature: []float32{1.5, 0}, TopK: []int32{40, 0}, TopP: []float32{0.9, 1}, Seed: []uint32{7, 8},
				Step: []uint32{uint32(len(w.written[0])), uint32(len(w.written[1]))}, Barred: barred,
			}}) {
				logProbs[slot] = append(logProbs[slot], c.LogProbs...)
			}
			barred = nil
		}
		require.NotEqual(t, w.want[1], w.written[1][1])
		return [][]int32{w.written[0][:12], w.written[1][:12]}, logProbs
	}
	wantTokens, wantProbs := write(1)
	tokens, logProbs := write(4)
	require.Equal(t, wantTokens, tokens)
	for slot := range logProbs {
		require.InDeltaSlice(t, wantProbs[slot][:11], logProbs[slot][:11], 1e-4)
	}
}

// Whatever writes into a cache on the device does so in place: a prompt, a step, a loop, a state that is put back. (Of recurrent
// states the step makes new ones; they are small.)
func TestCacheStaysInPlace(t *testing.T) {
	device := openDevice(t)
	if !device.IsXLA() || !device.IsCPU() {
		t.Skip("the pure-Go backend's cache is the host's, and a GPU's memory is not to be seen from there: OMNIDOCS_DEVICE=xla:cpu")
	}
	r := device.Runtime()
	r.HostCache, r.LoopTokens = false, 8
	for _, golden := range []string{"qwen3_vl", "qwen3_5_long"} {
		t.Run(golden, func(t *testing.T) {
			w := newWriter(t, r, golden, 2)
			w.begin(0)
			places, err := w.cache.Places()
			require.NoError(t, err)
			stay := func(what string) {
				t.Helper()
				now, err := w.cache.Places()
				require.NoError(t, err)
				for layer := range len(now) / 2 {
					if !w.m.Spec.Text.LinearAt(layer) || what == "prompt" || what == "rewind" {
						require.Equal(t, places[2*layer:2*layer+2], now[2*layer:2*layer+2], "%s, layer %d", what, layer)
					}
				}
				places = now
			}
			w.begin(1)
			stay("prompt")
			w.step()
			stay("step")
			mark, err := w.cache.Mark(t.Context(), 1)
			require.NoError(t, err)
			defer func() { require.NoError(t, mark.Close()) }()
			w.decode(qwen.Turn{})
			stay("loop")
			require.NoError(t, w.cache.Rewind(t.Context(), mark))
			stay("rewind")
		})
	}
}
