package backend

import "github.com/omnidocs/omnidocs/internal/bpe"

// teller tells a page's text as it is written.
type teller struct {
	to     func(offset int, text string) // nil: nobody
	stream func() *bpe.Stream            // a new one
	open   *bpe.Stream
	length int // of what has been told
}

// add tells what a token adds to the text.
func (t *teller) add(token int32) {
	if t.to == nil {
		return
	}
	if t.open == nil {
		t.open = t.stream()
	}
	t.tell(t.open.Next(token))
}

// back takes back all but the text of these tokens.
func (t *teller) back(tokens []int32) {
	if t.to == nil {
		return
	}
	t.open = t.stream()
	t.length = len(t.open.Next(tokens...))
	t.to(t.length, "")
}

// end tells what of the whole text has not been told: a character that is not complete.
func (t *teller) end(text string) {
	if t.to != nil {
		t.tell(text[t.length:])
	}
}

func (t *teller) tell(text string) {
	if text != "" {
		t.to(t.length, text)
		t.length += len(text)
	}
}
