package backend

import (
	"fmt"
	"slices"
	"strings"

	"github.com/omnidocs/omnidocs/qwen"
)

// This file says what to change where a plan does not fit, and writes plans for people.

// advise lists the changes of which each alone would make the plan fit.
func (p *Plan) advise(planner *qwen.Planner) {
	if p.Fits {
		return
	}
	short := p.Total - p.Limit
	// What is there beside the cache decides what of the cache there can be.
	beside := p.room - p.Page.Peak()
	prompt := p.Page.PromptTokens
	if tokens := planner.Tokens(1, p.MaxModelLen, beside); tokens > prompt+255 && p.Longest.Most() > beside {
		p.Advice = append(p.Advice, fmt.Sprintf("MaxModelLen %d in place of %d: one page's cache then takes %s",
			tokens, p.MaxModelLen, size(planner.Cache(1, tokens).Bytes)))
	}
	if smaller, ok := p.smallerPage(planner); ok {
		p.Advice = append(p.Advice, fmt.Sprintf("MaxPixels %d: %d visual tokens in place of %d, for which the vision tower takes %s in place of %s",
			smaller.ResizedWidth*smaller.ResizedHeight, smaller.VisualTokens, p.Page.VisualTokens, size(smaller.Vision), size(p.Page.Vision)))
	}
	if p.VisionCache >= short {
		p.Advice = append(p.Advice, "VisionCache -1: none of it saves "+size(p.VisionCache))
	}
	if p.PrefixCache >= short {
		p.Advice = append(p.Advice, "PrefixCache -1: none of it saves "+size(p.PrefixCache))
	}
	for _, other := range []struct {
		name  string
		bytes int64 // a number
	}{{"bfloat16", 2}, {"int8", 1}} {
		if saved := p.Weights.Bytes - p.Weights.Parameters*other.bytes/int64(max(1, p.Devices)); other.name != p.DType && saved >= short {
			setting := fmt.Sprintf("DType %q", other.name)
			if other.name == QuantizationInt8 {
				setting = fmt.Sprintf("Quantization %q", other.name)
			}
			p.Advice = append(p.Advice, fmt.Sprintf("%s: the weights then take about %s in place of %s", setting,
				size(p.Weights.Bytes-saved), size(p.Weights.Bytes)))
		}
	}
	if p.asked.MemoryUtilization > 0 && p.asked.MemoryUtilization < 0.95 && float64(p.Total) <= 0.95*float64(p.Limit)/p.asked.MemoryUtilization {
		p.Advice = append(p.Advice, fmt.Sprintf("a larger share of the memory: %.2f in place of %.2f",
			float64(p.Total)/float64(p.Limit)*p.asked.MemoryUtilization+0.005, p.asked.MemoryUtilization))
	}
	if len(p.Advice) == 0 || p.room <= 1 {
		p.Advice = append(p.Advice, fmt.Sprintf("%s more memory, or a smaller model: no single change makes it fit", size(short)))
	}
}

// smallerPage halves the area of the page until it fits.
func (p *Plan) smallerPage(planner *qwen.Planner) (qwen.PagePlan, bool) {
	pixels := p.Page.ResizedWidth * p.Page.ResizedHeight
	page := p.asked.Page
	page.Width, page.Height = p.Page.Width, p.Page.Height
	for range 6 {
		pixels /= 2
		page.MinPixels, page.MaxPixels = 0, pixels
		smaller, err := page.plan(planner)
		if err != nil {
			break
		}
		cache := max(planner.Cache(1, min(p.MaxModelLen, smaller.PromptTokens+PlannedAnswer)).Most(), p.Longest.Most())
		if smaller.VisualTokens < p.Page.VisualTokens && smaller.Peak()+cache <= p.room {
			return smaller, true
		}
	}
	return qwen.PagePlan{}, false
}

// String is the plan for people: a table, and the advice.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", key, fmt.Sprintf(format, args...))
	}
	verdict := "fits"
	switch {
	case p.Limit == 0:
		verdict = "takes " + size(p.Total) + "; how much memory there is, is not known"
	case !p.Fits:
		verdict = "does not fit"
	}
	where := p.Device
	if p.Devices > 1 {
		where = fmt.Sprintf("each of %d devices of %s", p.Devices, p.Device)
	}
	line("plan", "%s in %s on %s: %s", p.Model, p.DType, where, verdict)
	line("page", "%d×%d pixels, scaled to %d×%d", p.Page.Width, p.Page.Height, p.Page.ResizedWidth, p.Page.ResizedHeight)
	line("", "%d visual tokens, %d tokens in the prompt", p.Page.VisualTokens, p.Page.PromptTokens)
	line("", "run as %d patches in stripes of %d, and %d tokens in stripes of %d", p.Page.PatchRows, p.Page.PatchStripe, p.Page.PromptRows,
		p.Page.PromptStripe)
	line("slots", "%d of %d tokens each (capacity %d); one page may have %d", p.Slots, p.Cache.Tokens, p.Cache.Capacity, p.MaxModelLen)
	b.WriteByte('\n')
	row := func(key string, bytes int64, note string) {
		fmt.Fprintf(&b, "%-14s %10s  %s\n", key, size(bytes), note)
	}
	var parts []string
	for _, name := range []string{"vision", "text", "embedding", "head"} {
		if n := p.Weights.Parts[name]; n > 0 {
			parts = append(parts, name+" "+size(n))
		}
	}
	row("weights", p.Weights.Bytes, strings.Join(parts, ", "))
	cache, note := p.Cache, fmt.Sprintf("%d slots, %s each", p.Slots, size(p.Cache.Bytes/int64(p.Slots)))
	if p.Limit > 0 && p.Longest.Most() > p.Cache.Most() {
		cache, note = p.Longest, fmt.Sprintf("a page of %d tokens; %s for %d slots", p.MaxModelLen, size(p.Cache.Bytes), p.Slots)
	}
	row("cache", cache.Bytes, note)
	row("", cache.Most()-cache.Bytes, "to make it larger, or to write a token")
	row("a page", p.Page.Peak(), fmt.Sprintf("vision tower %s, prompt %s", size(p.Page.Vision), size(p.Page.Visual+p.Page.Prompt)))
	row("vision cache", p.VisionCache, "visual tokens of earlier pages")
	if p.PrefixCache > 0 {
		row("prefix cache", p.PrefixCache, "keys and values of earlier prompts")
	}
	if p.Overhead > 0 {
		row("process", p.Overhead, "the program, Go's heap, XLA's compiler")
	}
	row("in all", p.Total, "")
	if p.Limit > 0 {
		row("limit", p.Limit, p.LimitFrom)
	}
	for _, a := range slices.Compact(slices.Clone(p.Advice)) {
		line("change", "%s", a)
	}
	return b.String()
}

// size writes a number of bytes in binary units.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
}
