package textextraction

import (
	"context"
	"image"
	"iter"
	"sync"
	"unicode/utf8"
)

// Delta is a piece of a page's text as it is written: the first Offset bytes of the text so far stay, and Text follows them. As a rule
// Offset is the length of the text so far, so that the pieces are simply joined. It is less when what was told is taken back: because
// the page had run into a loop that was undone (see [Repetition]), or, in the last delta, because the end of the answer showed that its
// beginning was to be read otherwise, as a code fence around the whole of it that is none after all. [Delta.Apply] does it.
//
// Whatever the pieces, their text is that of the result's Content in the end. They are cut between characters, and cleaned as [Clean]
// does: a tag, its coordinates, or the comment with a table's place comes whole or not at all.
type Delta struct {
	// Offset is how many bytes of the text so far stay.
	Offset int `json:"offset"`
	// Text follows them.
	Text string `json:"text"`
	// Raw says that the text so far is as the model writes it, since the parser of the preset needs the whole answer (those of Chandra,
	// olmOCR, Infinity-Parser and the like do), or since [Options.RawDeltas] asks for it. The last delta, which is not Raw, takes all of it back and has the Content.
	Raw bool `json:"raw,omitzero"`
	// Result is in the last delta only: what Extract returns.
	Result *ExtractResult `json:"result,omitempty"`
}

// Apply returns the text so far with the delta.
func (d Delta) Apply(text string) string { return text[:min(d.Offset, len(text))] + d.Text }

// Stream reads a page and yields its text as it is written. See [TextExtractor].
func (x *QwenTextExtractor) Stream(ctx context.Context, img image.Image, opts Options) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		p := page{img: img}
		if p.request, p.opts, p.err = x.request(ctx, img, opts); p.err != nil {
			yield(Delta{}, p.err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		in := inbox{arrived: make(chan struct{}, 1)}
		p.request.Text = in.put
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			x.read(ctx, []*page{&p}, func() {})
		}()
		defer func() { // also when the consumer has left
			cancel()
			<-ended
		}()
		out := newDeltas(x.settings.preset, p.opts.Format, p.opts.RawDeltas)
		for done := false; !done; {
			select {
			case <-in.arrived:
			case <-ended:
				done = true
			}
			if from, text := in.take(); from >= 0 {
				if d, ok := out.next(from, text); ok && !yield(d, nil) {
					return
				}
			}
		}
		switch {
		case p.err != nil:
			yield(Delta{Offset: len(out.text), Result: p.result}, p.err)
		default:
			yield(out.last(p.result), nil)
		}
	}
}

// inbox holds what an engine has written until it is asked for, so that the engine never waits.
type inbox struct {
	arrived chan struct{} // has a value when there is something

	mu   sync.Mutex
	raw  []byte
	kept int  // how many bytes have been taken and still hold
	news bool // there is something that has not been taken
}

// put is [backend.Request.Text].
func (b *inbox) put(offset int, text string) {
	b.mu.Lock()
	b.raw = append(b.raw[:offset], text...)
	b.kept, b.news = min(b.kept, offset), true
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// take returns what follows the first bytes of what was taken before, so many; -1 if there is nothing new.
func (b *inbox) take() (from int, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.news {
		return -1, ""
	}
	from, text = b.kept, string(b.raw[b.kept:])
	b.kept, b.news = len(b.raw), false
	return from, text
}

// deltas makes deltas of an answer as it comes.
type deltas struct {
	text    []byte   // told so far
	cleaner *cleaner // nil: the text is told as it comes
}

func newDeltas(preset *Preset, format Format, raw bool) *deltas {
	if raw || preset != nil && preset.Parser != ParserClean {
		return &deltas{}
	}
	return &deltas{cleaner: &cleaner{format: format}}
}

// next takes the text that follows the first bytes of the answer, and returns what there is to tell, if there is anything.
func (d *deltas) next(from int, text string) (Delta, bool) {
	if d.cleaner != nil {
		from, text = d.cleaner.next(from, text)
	}
	changed := from < len(d.text) || text != ""
	d.text = append(d.text[:from], text...)
	return Delta{Offset: from, Text: text, Raw: d.cleaner == nil}, changed
}

// last is the delta after which the text is the result's Content.
func (d *deltas) last(r *ExtractResult) Delta {
	at := 0
	if d.cleaner != nil {
		for at < len(d.text) && at < len(r.Content) && d.text[at] == r.Content[at] {
			at++
		}
		for at > 0 && at < len(r.Content) && !utf8.RuneStart(r.Content[at]) {
			at--
		}
	}
	return Delta{Offset: at, Text: r.Content[at:], Result: r}
}
