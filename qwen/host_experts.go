package qwen

import "github.com/omnidocs/omnidocs/internal/hostmath"

// mix adds the experts' part to the residual x [n, hidden], for h, the input of all of them. See experts.go.
func (l *hostLayers) mix(p hostParams, experts []hostParams, x, h []float32, n int) {
	t, moe := l.m.Spec.Text, l.m.Spec.Text.MoE
	if moe.Shared > 0 {
		gate := l.room.floats("shared gate", n)
		p["mlp.shared_expert_gate.weight"].Mul(gate, h, n)
		y := l.network(p, h, n, moe.Shared)
		for i, g := range gate {
			addTimes(x[i*t.Hidden:][:t.Hidden], y[i*t.Hidden:], hostmath.Sigmoid(g))
		}
	}
	scores, live := l.room.floats("router", n*moe.Experts), make([]bool, n)
	p["mlp.gate.weight"].Mul(scores, h, n)
	for i := range live {
		live[i] = true
	}
	for e, a := range route(moe, scores, live) {
		own := l.room.floats("expert", len(a.index)*t.Hidden)
		for i, row := range a.index {
			copy(own[i*t.Hidden:][:t.Hidden], h[int(row)*t.Hidden:])
		}
		if len(a.index) == 0 {
			continue
		}
		y := l.network(experts[e], own, len(a.index), moe.Intermediate)
		for i, row := range a.index {
			addTimes(x[int(row)*t.Hidden:][:t.Hidden], y[i*t.Hidden:], a.weight[i])
		}
	}
}

func addTimes(x, y []float32, by float32) {
	for i := range x {
		x[i] += by * y[i]
	}
}
