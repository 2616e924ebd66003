package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// page is what the template sees of a page.
func (v *view) page(docID, id string, d *jobs.DocumentResult, p jobs.PageOutcome) pageView {
	flags := flagsOf(p)
	out := pageView{Anchor: anchor(docID, p.Page), Title: fmt.Sprintf("Page %d", p.Page+1), Flags: strings.Join(flags, " "), Check: p.Check, Badges: badges(flags)}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	if p.Attempts > 1 {
		out.Facts = append(out.Facts, fact{"attempts", fmt.Sprint(p.Attempts)})
	}
	if p.Resumed {
		out.Facts = append(out.Facts, fact{"read", "by an earlier job"})
	}
	if r := p.Result; r != nil {
		out.result(r)
	}
	out.times(p)
	v.picture(&out, id, d, p)
	return out
}

func badges(all []string) (out []badge) {
	for _, c := range flags {
		for _, flag := range all {
			if flag == c.Flag {
				out = append(out, badge{flag, c.Label})
			}
		}
	}
	return out
}

// result is what a page's result adds.
func (out *pageView) result(r *textextraction.ExtractResult) {
	out.Text = r.Content
	out.Width, out.Height = r.ImageWidth, r.ImageHeight
	out.elements(r)
	for _, s := range r.UncertainSpans {
		out.Uncertain = append(out.Uncertain, fmt.Sprintf("%s (%s)", s.Text, percent(s.Probability())))
	}
	add := func(label, value string) {
		if value != "" && value != "0" {
			out.Facts = append(out.Facts, fact{label, value})
		}
	}
	if r.Confidence != nil {
		add("confidence", percent(r.Confidence.Probability()))
	}
	add("words", fmt.Sprint(r.WordCount))
	add("ended", string(r.FinishReason))
	add("loops undone", fmt.Sprint(r.Recoveries))
	add("tokens", fmt.Sprint(r.CompletionTokens))
	add("prompt", fmt.Sprint(r.PromptTokens))
	add("model", r.ModelName)
	add("device", strings.TrimSpace(r.Device+" "+r.DType))
	add("worker", r.Worker)
	if r.ImageWidth > 0 {
		add("size", fmt.Sprintf("%d×%d", r.ImageWidth, r.ImageHeight))
	}
}

// elements are the elements, and their boxes.
func (out *pageView) elements(r *textextraction.ExtractResult) {
	for i, e := range r.Elements {
		flag, sure := "", ""
		if e.Confidence > 0 {
			sure = percent(e.Confidence)
			if e.Confidence < unsureBelow {
				flag = "unsure"
			}
		}
		box := e.Rect()
		has := !box.Empty() && r.ImageWidth > 0 && r.ImageHeight > 0
		text := e.Text
		if text == "" {
			text = e.Content
		}
		out.Elements = append(out.Elements, elementView{i, string(e.Kind), text, flag, sure, has})
		if has {
			w, h := float64(r.ImageWidth)/100, float64(r.ImageHeight)/100
			out.Boxes = append(out.Boxes, boxView{
				i, string(e.Kind), strings.TrimSpace(string(e.Kind) + " " + sure), flag,
				float64(box.Min.X) / w, float64(box.Min.Y) / h, float64(box.Dx()) / w, float64(box.Dy()) / h,
			})
		}
	}
}

// times are the stages of a page.
func (out *pageView) times(p jobs.PageOutcome) {
	type stage struct {
		label string
		time  time.Duration
	}
	stages := []stage{{"render", p.Render}}
	if r := p.Result; r != nil {
		t := r.Timings
		known := t.Preprocess + t.Encode + t.Prefill + t.Decode
		stages = append(stages, stage{"wait", max(0, p.Read-known)}, stage{"preprocess", t.Preprocess}, stage{"encode", t.Encode}, stage{"prefill", t.Prefill}, stage{"decode", t.Decode})
	} else {
		stages = append(stages, stage{"read", p.Read})
	}
	var all time.Duration
	for _, s := range stages {
		all += s.time
	}
	for _, s := range stages {
		if s.time > 0 {
			out.Times = append(out.Times, timeView{s.label, s.label, short(s.time), 100 * float64(s.time) / float64(all)})
		}
	}
}
