package qwen

// PagePlan is what a page takes on its way to its first token. Sizes are exact, and so are the bytes of what is left behind. Those of
// the two passes are estimates: what stands in memory between the calls to the device is counted, what a call itself needs is
// reckoned from the scores of its attention and its widest layer, by factors that were measured (see [Planner.Page]).
type PagePlan struct {
	// Width and Height are the picture's, ResizedWidth and ResizedHeight what it is scaled to, in pixels.
	Width         int `json:"width"`
	Height        int `json:"height"`
	ResizedWidth  int `json:"resized_width"`
	ResizedHeight int `json:"resized_height"`
	// Patches, VisualTokens and PromptTokens count what it is made into; the prompt has the visual tokens and the text around them.
	Patches      int `json:"patches"`
	VisualTokens int `json:"visual_tokens"`
	PromptTokens int `json:"prompt_tokens"`
	// PatchRows and PromptRows are the sizes, with padding, that the towers are compiled for, PatchStripe and PromptStripe how many
	// rows go through them in one call.
	PatchRows    int `json:"patch_rows"`
	PatchStripe  int `json:"patch_stripe"`
	PromptRows   int `json:"prompt_rows"`
	PromptStripe int `json:"prompt_stripe"`
	// Vision is the most that the vision tower takes, Prompt the most that the text tower takes beside the visual tokens. Where the
	// device's memory is the host's, the page's pixels are in Vision.
	Vision int64 `json:"vision_bytes"`
	Prompt int64 `json:"prompt_bytes"`
	// Visual is what the visual tokens take, Left the prompt's keys, values and states until a cache has them.
	Visual int64 `json:"visual_bytes"`
	Left   int64 `json:"left_bytes"`
}

// Peak is the most that the page takes at one time before it has a slot.
func (p PagePlan) Peak() int64 { return max(p.Vision, p.Visual+p.Prompt) }

// What a call needs beside its inputs and outputs, as a multiple of the scores of its attention. On XLA's CPU the scores and their
// softmax are in memory together, and XLA does not count them; the pure-Go backend has the scores, what is added to them and the
// softmax. They were measured as the peak of the resident memory, for pages of 300 to 2,048 visual tokens in the widths of
// Qwen3-VL-2B; TestPlanPeak measures them again.
const (
	scoreCopies   = 2
	scoreCopiesGo = 3
)

// Page tells what a picture of width × height pixels takes that is scaled to within bounds and asked for with a prompt.
//
// TestPlanPeak holds Peak to the resident memory that a page takes, on XLA's CPU and on the pure-Go backend: within 0.65 and 1.4
// times. What is not in it is what a process has once, whatever its pages: the program itself and XLA's compiler, see [Overhead].
// On GPUs it has not been measured; attention by cuDNN, which holds no scores, takes less.
func (p *Planner) Page(width, height int, bounds Bounds, prompt Prompt) (PagePlan, error) {
	m := p.m
	page := PagePlan{Width: width, Height: height}
	var err error
	if page.ResizedWidth, page.ResizedHeight, err = m.Processor.Size(width, height, bounds); err != nil {
		return page, err
	}
	patch := m.Processor.PatchSize()
	grid := Grid{page.ResizedHeight / patch, page.ResizedWidth / patch}
	l, err := m.Layout(prompt, []Grid{grid})
	if err != nil {
		return page, err
	}
	return p.page(page, grid, len(l.IDs)), nil
}

// PageOf tells what patches and their prompt take.
func (p *Planner) PageOf(patches *Patches, layout *Layout) PagePlan {
	page := PagePlan{
		Width: patches.SourceWidth, Height: patches.SourceHeight, ResizedWidth: patches.Width, ResizedHeight: patches.Height,
	}
	return p.page(page, Grid{patches.GridH, patches.GridW}, len(layout.IDs))
}

func (p *Planner) page(page PagePlan, grid Grid, prompt int) PagePlan {
	m, v := p.m, p.m.Spec.Vision
	page.Patches = grid.Height * grid.Width
	page.VisualTokens = page.Patches / (v.MergeSize * v.MergeSize)
	page.PromptTokens = prompt
	page.PatchRows, page.PatchStripe = m.visionRows(len(arrangement(v, grid)))
	page.PromptRows, page.PromptStripe = m.promptRows(prompt)
	page.Visual = int64(1+len(v.Deepstack)) * p.floats(page.PatchRows/(v.MergeSize*v.MergeSize), v.OutHidden)
	page.Vision = p.vision(page)
	page.Left, page.Prompt = p.prompt(page)
	return page
}

// together says how many of a number of calls run at one time.
func (p *Planner) together(calls int) int64 { return int64(min(calls, max(1, p.m.runtime.Workers))) }

// scores is what the attention of a call takes beside its inputs, in blocks as nn.Attention cuts them.
func (p *Planner) scores(heads, rows, keys int, causal bool) int64 {
	r := p.m.runtime
	if r.Traits.Flash && rows == keys {
		return p.floats(heads, rows, 1) // a sum a row
	}
	block := r.Traits.QueryBlock(heads, rows, keys, causal)
	if r.ExactShapes {
		return scoreCopiesGo * p.floats(heads, block, keys)
	}
	return scoreCopies * p.floats(heads, block, keys)
}

// packed is what a product takes for its matrix where the backend rearranges it first, and for one that it converts to float32.
func (p *Planner) packed() int64 {
	if !p.m.runtime.ExactShapes {
		return 0
	}
	v, t := p.m.local.Vision, p.m.local.Text
	largest := max(2*v.Hidden*v.Intermediate, 3*v.Hidden*v.Hidden, v.MergedDim()*v.MergedDim(), 2*t.Hidden*t.Intermediate)
	return p.floats(min(largest, p.m.matrixElements()))
}

// vision is the most that the vision tower takes.
func (p *Planner) vision(page PagePlan) int64 {
	if p.m.hostTower() {
		return p.hostVision(page)
	}
	v, local, n := p.m.Spec.Vision, p.m.local.Vision, page.PatchRows
	stripes := (n + page.PatchStripe - 1) / page.PatchStripe
	state := p.floats(n, v.Hidden)
	held := state + 2*p.floats(n, v.HeadDim()/2) + page.Visual
	if p.m.runtime.HostCache {
		held += 4 * int64(page.Patches) * int64(v.PatchDim()) // the pixels, on the host
	}
	// The call itself: queries, keys and values before and after they are turned, or the scores, or the inner layer.
	rows := page.PatchStripe
	heads := 2 * p.floats(rows, 3*local.Heads*v.HeadDim())
	attend := p.scores(local.Heads, rows, n, false)
	inner := 2 * p.floats(rows, local.Intermediate)
	if stripes > 1 {
		// Queries, and keys and values in stripes and together.
		held += int64(n*local.Heads*v.HeadDim()) * int64(4+4*p.m.seenType().Size())
	} else {
		attend += heads
	}
	return held + p.together(stripes)*(max(heads, attend, inner)+p.packed()+p.floats(rows, v.Hidden))
}

// prompt is what a prompt leaves behind, and the most that its pass takes.
func (p *Planner) prompt(page PagePlan) (left, most int64) {
	t, local, n := p.m.Spec.Text, p.m.local.Text, page.PromptRows
	stripes := (n + page.PromptStripe - 1) / page.PromptStripe
	keys := p.floats(local.KVHeads, n, t.HeadDim)
	for i := range t.Layers {
		if !t.LinearAt(i) {
			left += 2 * keys
			continue
		}
		for _, dims := range local.Delta.stateDims() {
			left += p.floats(dims...)
		}
	}
	if p.m.hostRunsPrompts() {
		return left, left + p.hostPrompt(page)
	}
	queries := local.Heads * t.HeadDim
	rows := page.PromptStripe
	held := p.floats(n, t.Hidden) + 2*p.floats(n, t.RotaryDim/2) + p.floats(n, queries)
	if stripes > 1 {
		held += 2 * keys // in stripes, beside those put together
	}
	project := 2 * p.floats(rows, queries+2*local.KVHeads*t.HeadDim)
	attend := p.scores(local.Heads, rows, n, true) + 2*keys
	inner := 3 * p.floats(rows, max(local.Intermediate, t.MoE.TopK*local.MoE.Intermediate))
	if t.Linear != nil {
		d := local.Delta
		inner = max(inner, 6*p.floats(rows, d.Channels()+d.ValueHeads*d.ValueDim))
	}
	return left, left + held + p.together(stripes)*(max(project, attend, inner)+p.packed()+p.floats(rows, t.Hidden))
}

// SharesPrompts says whether a prompt is kept for others at no cost but its memory, since the host runs it: see [PromptOptions].
func (p *Planner) SharesPrompts() bool { return p.m.hostRunsPrompts() }

// Prefix is what a page's prompt leaves for others: its keys and values, and where the model has recurrent states those of two places.
func (p *Planner) Prefix(page PagePlan) int64 {
	t := p.m.Spec.Text
	n := page.Left
	for i := range t.Layers {
		if !t.LinearAt(i) {
			continue
		}
		for _, dims := range p.m.stateDims() {
			n += 2 * p.floats(dims[:]...)
		}
	}
	return n
}

// stepping is what it takes to write a token into each slot: the logits, which are sorted out in float32, and, on the pure-Go backend,
// a layer's keys once more.
func (p *Planner) stepping(slots int, keys int64) int64 {
	t := p.m.local.Text
	n := 4*p.floats(slots, t.VocabSize) + 4*p.floats(slots, max(t.Intermediate, t.Hidden))
	if p.m.runtime.ExactShapes {
		n += keys + p.packed()
	}
	return n
}
