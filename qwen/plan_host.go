package qwen

import "runtime"

// hostScores is what attention on the host takes beside its inputs: the scores of some queries of a head, on each core.
func (p *Planner) hostScores(keys int) int64 {
	return int64(runtime.GOMAXPROCS(0)) * p.floats(hostQueries, keys)
}

// hostRooms is the host's room for the rows of an image on their way through the vision tower.
func (p *Planner) hostRooms(page PagePlan) int64 {
	v, n := p.m.Spec.Vision, page.PatchRows
	work := p.floats(min(n, hostRowsAtOnce), 7*v.Hidden+2*v.Intermediate)
	if v.Gated {
		work += p.floats(min(n, hostRowsAtOnce), v.Intermediate)
	}
	return 4*p.floats(n, v.Hidden) + work + p.hostScores(n) // the patches, their queries, keys and values
}

// hostVision is the most that the vision tower takes where the host runs it.
func (p *Planner) hostVision(page PagePlan) int64 {
	v, n := p.m.Spec.Vision, page.PatchRows
	// The pixels are there a second time, in the order of the tower, until they are embedded.
	return p.hostRooms(page) + 2*p.floats(n, v.HeadDim()/2) + page.Visual + 2*p.floats(n, v.PatchDim())
}

// hostPrompt is the most that a prompt takes beside what it leaves behind where the host runs it. The room of its image is there for the
// next one.
func (p *Planner) hostPrompt(page PagePlan) int64 {
	t, n := p.m.Spec.Text, page.PromptRows
	queries, keys := t.Heads*t.HeadDim, t.KVHeads*t.HeadDim
	inner := max(t.Intermediate, t.MoE.Intermediate, t.MoE.Shared)
	held := p.floats(n, t.Hidden) + 2*p.floats(n, t.RotaryDim/2) + p.floats(n, keys)
	work := t.Hidden + 3*queries + 4*keys + 3*inner
	if d := t.Delta; t.Linear != nil {
		work += 2*d.Channels() + 2*d.ValueHeads*d.ValueDim
	}
	return p.hostRooms(page) + held + p.floats(min(n, hostRowsAtOnce), work)
}
