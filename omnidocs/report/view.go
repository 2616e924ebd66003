package report

import (
	"context"
	"fmt"
	"html/template"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
)

// unsureBelow is the probability below which a page or an element is shown as unsure.
const unsureBelow = 0.8

// view is the report as its template sees it.
type view struct {
	Title  string
	Policy string
	Style  template.CSS
	Script template.JS
	Facts  []fact
	Counts []count
	// Problems are those of the job.
	Problems []string

	ctx      context.Context //nolint:containedctx // lives for one call, whose context this is: the template renders pictures as it goes
	result   *jobs.BatchResult
	opts     Options
	pictures map[*jobs.DocumentResult]map[int]bool // pages that get one

	doc   *omnidocs.Document // the one that is open
	docOf *jobs.DocumentResult
	fault error // of opening it
}

// fact is a number at the head of the report.
type fact struct{ Label, Value string }

// count is how many pages have a flag, and the filter for them.
type count struct {
	Flag, Label string
	Pages       int
}

// documentView is a document.
type documentView struct {
	ID, Name, Error string
	Problems        []string
	Summary         string
	Chips           []chip
	Pages           iter.Seq[pageView]
}

// chip is a page in the list of pages.
type chip struct {
	Anchor, Label, Flags string
}

// pageView is a page.
type pageView struct {
	Anchor, Title, Flags string
	Badges               []badge
	Picture              template.URL
	NoPicture            string
	Width, Height        int
	Boxes                []boxView
	Elements             []elementView
	Text, Error          string
	Check                *crosscheck.Report
	Uncertain            []string
	Facts                []fact
	Times                []timeView
}

type badge struct{ Flag, Label string }

// boxView is an element's box, in percent of the page.
type boxView struct {
	Element                  int
	Kind, Title, Flags       string
	Left, Top, Width, Height float64
}

type elementView struct {
	Element           int
	Kind, Text, Flags string
	Confidence        string
	HasBox            bool
}

// timeView is a stage of a page, in percent of all.
type timeView struct {
	Label, Stage, Value string
	Share               float64
}

// flags of pages, the worst first.
var flags = []count{
	{Flag: "failed", Label: "failed"}, {Flag: "layer", Label: "PDF's own text"}, {Flag: "suspicious", Label: "suspicious"},
	{Flag: "truncated", Label: "cut short"}, {Flag: "unsure", Label: "unsure"}, {Flag: "ok", Label: "fine"},
}

// flagsOf are the flags of a page.
func flagsOf(p jobs.PageOutcome) []string {
	var all []string
	add := func(flag string, is bool) {
		if is {
			all = append(all, flag)
		}
	}
	add("failed", p.Err != nil && !p.TextLayer)
	add("layer", p.TextLayer)
	add("suspicious", p.Check != nil && p.Check.Suspicious())
	if r := p.Result; r != nil {
		add("truncated", r.Truncated)
		add("unsure", r.Confidence != nil && r.Confidence.Probability() < unsureBelow)
	}
	add("ok", len(all) == 0)
	return all
}

func newView(ctx context.Context, result *jobs.BatchResult, opts Options) *view {
	v := &view{
		Title: opts.Title, Policy: policy(), Style: template.CSS(style), Script: template.JS(script), //nolint:gosec // both are ours
		ctx: ctx, result: result, opts: opts, pictures: map[*jobs.DocumentResult]map[int]bool{},
	}
	for _, problem := range result.Problems {
		v.Problems = append(v.Problems, problem.Error())
	}
	counts := map[string]int{}
	var words, pages int
	var mean float64
	var sure int
	for _, d := range result.All() {
		for _, p := range d.Pages() {
			pages++
			for _, flag := range flagsOf(p) {
				counts[flag]++
			}
			if p.Result != nil {
				words += p.Result.WordCount
				if c := p.Result.Confidence; c != nil {
					mean += c.Probability()
					sure++
				}
			}
		}
	}
	for _, c := range flags {
		if c.Pages = counts[c.Flag]; c.Pages > 0 {
			v.Counts = append(v.Counts, c)
		}
	}
	v.choosePictures()
	v.Facts = []fact{
		{"documents", fmt.Sprint(result.Len())}, {"pages read", fmt.Sprintf("%d of %d", result.TotalPages(), pages)},
		{"pages failed", fmt.Sprint(result.FailedPages())}, {"documents failed", fmt.Sprint(result.FailedDocuments())}, {"words", fmt.Sprint(words)},
	}
	if sure > 0 {
		v.Facts = append(v.Facts, fact{"mean confidence", percent(mean / float64(sure))})
	}
	if e := result.Elapsed; e > 0 {
		v.Facts = append(v.Facts, fact{"time", short(e)})
		if pages > 0 {
			v.Facts = append(v.Facts, fact{"a page", short(e / time.Duration(pages))})
		}
		if opts.CostPerHour > 0 {
			cost := e.Hours() * opts.CostPerHour
			v.Facts = append(v.Facts, fact{"cost", fmt.Sprintf("%s%.4f", opts.Currency, cost)})
			if pages > 0 {
				v.Facts = append(v.Facts, fact{"1,000 pages", fmt.Sprintf("%s%.2f", opts.Currency, 1000*cost/float64(pages))})
			}
		}
	}
	return v
}

// choosePictures decides which pages get a picture: those that want looking at first.
func (v *view) choosePictures() {
	left := v.opts.MaxPictures
	for _, fine := range []bool{false, true} {
		for _, d := range v.result.All() {
			for _, p := range d.Pages() {
				if isFine := flagsOf(p)[0] == "ok"; isFine != fine || left <= 0 {
					continue
				}
				if v.pictures[d] == nil {
					v.pictures[d] = map[int]bool{}
				}
				v.pictures[d][p.Page] = true
				left--
			}
		}
	}
}

// Documents yields the documents; what is in a page is made when the template comes to it.
func (v *view) Documents() iter.Seq[documentView] {
	return func(yield func(documentView) bool) {
		n := 0
		for id, d := range v.result.All() {
			n++
			doc := documentView{
				ID: fmt.Sprintf("d%d", n), Name: id, Problems: texts(d.Problems),
				Summary: fmt.Sprintf("%d of %d pages", d.ProcessedPages(), d.PageCount),
			}
			if d.SourcePath != "" {
				doc.Summary = filepath.Base(d.SourcePath) + " · " + doc.Summary
			}
			if d.Err != nil {
				doc.Error = d.Err.Error()
			}
			pages := d.Pages()
			for _, p := range pages {
				doc.Chips = append(doc.Chips, chip{anchor(doc.ID, p.Page), fmt.Sprint(p.Page + 1), strings.Join(flagsOf(p), " ")})
			}
			doc.Pages = func(yield func(pageView) bool) {
				for _, p := range pages {
					if v.ctx.Err() != nil || !yield(v.page(doc.ID, id, d, p)) {
						return
					}
				}
			}
			if v.ctx.Err() != nil || !yield(doc) {
				return
			}
		}
	}
}

func texts(errs []error) (all []string) {
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func anchor(doc string, page int) string { return fmt.Sprintf("%s-p%d", doc, page+1) }

func percent(p float64) string { return fmt.Sprintf("%.1f %%", 100*p) }

// short is a time to three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
