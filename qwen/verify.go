package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
)

// VerifyOptions say how [Verify] compares. The zero value has the tolerances of [DefaultTolerances].
type VerifyOptions struct {
	// Tolerances replace the default ones, by stage; "deepstack" is for each of the stages deepstack.N. A name that no stage has is an
	// error.
	Tolerances map[string]Tolerance
	// Progress, if set, is called with each stage that has been compared, in order.
	Progress func(caseName string, stage Stage)
}

// Report is what came of one case.
type Report struct {
	// Case is the name of the case, and Producer what made it.
	Case     string `json:"case"`
	Producer string `json:"producer"`
	// Stages are the comparisons, in the order in which the values come about.
	Stages []Stage `json:"stages"`
}

// OK is true if no stage departs from the reference.
func (r Report) OK() bool { return r.First() == nil }

// First is the first stage that departs from the reference, which is where to look; those after it may follow from it. It is nil
// if none does.
func (r Report) First() *Stage {
	for i := range r.Stages {
		if !r.Stages[i].OK {
			return &r.Stages[i]
		}
	}
	return nil
}

// Verify runs reference cases through the model, on the device and in the type that it was loaded for, and tells for each stage
// how far the values are from the reference's: pixels, grids, tokens, positions, visual tokens, logits, and the text that is written
// greedily, by the calls that read a page. A stage that departs is no error; one that cannot be computed is.
//
// A case in float32 is the sharpest. With weights in half precision, or a reference in half precision, the written tokens may depart
// from the reference's where both choices are as good within what the logits are off; Detail then says so, and the text is not
// compared. Where rounding makes a router choose another expert, more may change than that: the same case in float32 tells it from
// a fault.
func Verify(ctx context.Context, m *Model, cases []Case, opts VerifyOptions) ([]Report, error) {
	for name := range opts.Tolerances {
		if _, ok := DefaultTolerances(dtypes.Float32)[name]; !ok {
			return nil, fmt.Errorf("qwen: verify: no stage %q has a tolerance (those are pixel_values, vision, deepstack, logits)", name)
		}
	}
	reports := make([]Report, 0, len(cases))
	for _, c := range cases {
		half := m.dtype != dtypes.Float32 || c.DType == "bfloat16" || c.DType == "float16"
		v := verification{m: m, want: c, opts: opts, half: half}
		v.tolerances = v.allowed()
		if err := v.run(ctx); err != nil {
			return reports, fmt.Errorf("qwen: verify: case %s: %w", c.Name, err)
		}
		reports = append(reports, Report{Case: c.Name, Producer: c.Producer, Stages: v.stages})
	}
	return reports, nil
}

// verification is one case on its way.
type verification struct {
	m          *Model
	want       Case
	opts       VerifyOptions
	tolerances map[string]Tolerance
	half       bool
	stages     []Stage
}

// allowed are the tolerances of the case: the wider of those of the model's type and twice those of the reference's, if that is half
// precision, unless they are given. A reference in half precision rounds its activations too, which this library does not.
func (v *verification) allowed() map[string]Tolerance {
	all := DefaultTolerances(v.m.dtype)
	reference := map[string]dtypes.DType{"bfloat16": dtypes.BFloat16, "float16": dtypes.Float16}[v.want.DType]
	for name, t := range DefaultTolerances(reference) {
		if reference != dtypes.InvalidDType && name != "pixel_values" {
			t = Tolerance{Max: 2 * t.Max, Share: 2 * t.Share, Mean: 2 * t.Mean}
		}
		own := all[name]
		all[name] = Tolerance{Max: max(t.Max, own.Max), Share: max(t.Share, own.Share), Mean: max(t.Mean, own.Mean)}
	}
	for name, t := range v.opts.Tolerances {
		all[name] = t
	}
	return all
}

func (v *verification) add(s Stage) {
	v.stages = append(v.stages, s)
	if v.opts.Progress != nil {
		v.opts.Progress(v.want.Name, s)
	}
}

// run computes the stages in the order in which the values come about.
func (v *verification) run(ctx context.Context) (err error) {
	var visuals []*Visual
	defer func() {
		for _, visual := range visuals {
			err = errors.Join(err, visual.Close())
		}
	}()
	patches, grids, err := v.process(ctx)
	if err != nil {
		return err
	}
	l, err := v.m.Layout(v.want.Prompt, grids)
	if err != nil {
		return err
	}
	v.compareLayout(l)
	for _, p := range patches {
		visual, err := v.m.Encode(ctx, p)
		if err != nil {
			return err
		}
		visuals = append(visuals, visual)
	}
	if err := v.compareVisuals(visuals); err != nil {
		return err
	}
	logits, err := v.m.Logits(ctx, l, visuals)
	if err != nil {
		return err
	}
	v.compareLogits(logits)
	tokens, err := v.greedy(ctx, l, visuals)
	if err != nil {
		return err
	}
	return v.compareGenerated(ctx, tokens, l, visuals)
}

// process cuts the pages into patches and compares these and their grids.
func (v *verification) process(ctx context.Context) (patches []*Patches, grids []Grid, err error) {
	var pixels []float32
	var thw []int32
	for i, img := range v.want.Images {
		p, err := v.m.Processor.Process(ctx, img, v.want.Bounds)
		if err != nil {
			return nil, nil, fmt.Errorf("image %d: %w", i, err)
		}
		patches = append(patches, p)
		pixels = append(pixels, p.Pixels...)
		thw = append(thw, 1, int32(p.GridH), int32(p.GridW))
		grids = append(grids, Grid{Height: p.GridH, Width: p.GridW})
	}
	e := v.want.Expected
	v.add(compareFloats("pixel_values", "patch", 0, pixels, e.PixelValues, v.m.Processor.PatchDim(), v.tolerances["pixel_values"]))
	v.add(compareInts("image_grid_thw", thw, e.Grids, func(i int) string {
		return fmt.Sprintf("image %d, %s", i/3, []string{"frames", "patches down", "patches across"}[i%3])
	}))
	return patches, grids, nil
}

func (v *verification) compareLayout(l *Layout) {
	e := v.want.Expected
	v.add(compareInts("input_ids", l.IDs, e.InputIDs, func(i int) string { return fmt.Sprintf("token %d", i) }))
	s := compareInts("position_ids", slices.Concat(l.Positions[:]...), e.Positions, func(i int) string {
		return fmt.Sprintf("%s of token %d", []string{"time", "height", "width"}[i/len(l.IDs)], i%len(l.IDs))
	})
	for i := range min(len(e.Positions), 3*len(l.IDs)) {
		d := float64(l.Positions[i/len(l.IDs)][i%len(l.IDs)]) - float64(e.Positions[i])
		s.Max = max(s.Max, d, -d)
		s.Mean += max(d, -d) / float64(len(e.Positions))
	}
	v.add(s)
}

func (v *verification) compareVisuals(visuals []*Visual) error {
	var rows []float32
	var deepstack [][]float32
	for _, visual := range visuals {
		r, d, err := visual.Rows()
		if err != nil {
			return err
		}
		rows = append(rows, r...)
		for i := range d {
			if i == len(deepstack) {
				deepstack = append(deepstack, nil)
			}
			deepstack[i] = append(deepstack[i], d[i]...)
		}
	}
	e, hidden := v.want.Expected, v.m.Spec.Text.Hidden
	v.add(compareFloats("vision", "visual token", 0, rows, e.Vision, hidden, v.tolerances["vision"]))
	for i := range max(len(deepstack), len(e.Deepstack)) {
		var got, want []float32
		if i < len(deepstack) {
			got = deepstack[i]
		}
		if i < len(e.Deepstack) {
			want = e.Deepstack[i]
		}
		v.add(compareFloats(deepstackStage(i), "visual token", 0, got, want, hidden, v.tolerances["deepstack"]))
	}
	return nil
}

// compareLogits compares the last rows, as many as the reference has.
func (v *verification) compareLogits(logits []float32) {
	want, vocab := v.want.Expected.Logits, v.m.Spec.Text.VocabSize
	skipped := max(0, len(logits)-len(want)) / vocab
	v.add(compareFloats("logits", "token", skipped, logits[skipped*vocab:], want, vocab, v.tolerances["logits"]))
}

// greedy writes tokens until there are as many as the reference has or one ends the answer, which is kept, as transformers does.
func (v *verification) greedy(ctx context.Context, l *Layout, visuals []*Visual) (tokens []int32, err error) {
	m, limit := v.m, len(v.want.Expected.Generated)
	cache := m.NewCache(1, len(l.IDs)+limit)
	defer func() { err = errors.Join(err, cache.Close()) }()
	h, err := m.Prefill(ctx, l, visuals, cache, 0)
	for {
		if err != nil {
			return nil, err
		}
		next, err := m.Choose(ctx, h, nil)
		if err := errors.Join(err, h.Close()); err != nil {
			return nil, err
		}
		if tokens = append(tokens, next.Tokens[0]); len(tokens) >= limit || slices.Contains(m.Spec.EOS, next.Tokens[0]) {
			return tokens, nil
		}
		if h, err = m.Step(ctx, cache, next.Tokens, []bool{true}); err != nil {
			return nil, err
		}
	}
}

func (v *verification) compareGenerated(ctx context.Context, tokens []int32, l *Layout, visuals []*Visual) error {
	want := v.want.Expected.Generated
	s := compareInts("generated", tokens, want, func(i int) string { return fmt.Sprintf("token %d", i) })
	vocab := v.m.Spec.Text.VocabSize
	if i := s.First; !s.OK && v.half && i < min(len(tokens), len(want)) && 0 <= want[i] && int(want[i]) < vocab {
		margin, err := v.margin(ctx, l, visuals, i, tokens[i])
		if err != nil {
			return err
		}
		// Each of the two logits may be as far from the reference's as the tolerance says, or as those of the prompt are that are
		// the share which may be farther.
		logits := v.stages[slices.IndexFunc(v.stages, func(s Stage) bool { return s.Name == "logits" })]
		allowed := 2 * logits.Tolerance.Max
		if logits.OK {
			allowed = max(allowed, 2*logits.Max)
		}
		s.Detail += fmt.Sprintf(", whose logit is %.3g below; half precision is allowed %.3g", margin, allowed)
		if margin <= allowed {
			s.OK = true
			v.add(s)
			return nil
		}
	}
	v.add(s)
	v.add(compareText(v.m.Tokenizer.Decode(tokens, true), v.want.Expected.Text))
	return nil
}

// margin is how much higher than that of the reference's i-th token the model's logit of another one is, after the same beginning.
func (v *verification) margin(ctx context.Context, l *Layout, visuals []*Visual, i int, token int32) (float64, error) {
	longer := &Layout{IDs: slices.Clone(l.IDs), Images: l.Images, Next: l.Next + int32(i)}
	longer.IDs = append(longer.IDs, v.want.Expected.Generated[:i]...)
	for axis := range longer.Positions {
		longer.Positions[axis] = slices.Clone(l.Positions[axis])
		for j := range i {
			longer.Positions[axis] = append(longer.Positions[axis], l.Next+int32(j))
		}
	}
	logits, err := v.m.Logits(ctx, longer, visuals)
	if err != nil {
		return 0, err
	}
	last := logits[len(logits)-v.m.Spec.Text.VocabSize:]
	return float64(last[token]) - float64(last[v.want.Expected.Generated[i]]), nil
}
