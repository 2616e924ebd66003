package assemble

// Page is the text of a page.
type Page struct {
	// Number is what the page is called in the result: its index, or what else suits.
	Number int
	// Text is its Markdown.
	Text string
}

// Options are the choices of [Markdown]. The zero value joins words and paragraphs, and keeps everything.
type Options struct {
	// DropMargins leaves running headers, footers and page numbers out.
	DropMargins bool
	// KeepBreaks leaves words and paragraphs divided as the pages divide them.
	KeepBreaks bool
	// JoinTables makes one table of two, of which the first ends a page and the second, as wide, begins the next. The second's header is left out if it is empty or the
	// first's again, and becomes a row otherwise. Two tables that only happen to stand so are joined too: hence the choice.
	JoinTables bool
	// Separator is put between two pages that are not joined. Empty means an empty line, "\n\n".
	Separator string
}

// Document is what was made of the pages.
type Document struct {
	// Text is the document's Markdown.
	Text string
	// Spans say which part of Text is from which page, in the order of the pages. What is between two of them is from none.
	Spans []Span
	// Margins are the headers, footers and page numbers that were found, whether they were kept or not.
	Margins []Margin
}

// Span is a part of a text: that of a page. Start and End are offsets in bytes; End is that of the first byte after it.
type Span struct {
	Page  int `json:"page"`
	Start int `json:"start"`
	End   int `json:"end"`
}

// PageAt returns the page that the byte at an offset is from; ok is false if it is from none.
func (d Document) PageAt(offset int) (page int, ok bool) {
	for _, s := range d.Spans {
		if offset >= s.Start && offset < s.End {
			return s.Page, true
		}
	}
	return 0, false
}

// Markdown makes one document of the Markdown of its pages. Pages without text have an empty span.
func Markdown(pages []Page, opts Options) Document {
	if opts.Separator == "" {
		opts.Separator = "\n\n"
	}
	split := make([]page, len(pages))
	for i, p := range pages {
		split[i] = splitPage(p)
	}
	doc := Document{Margins: findMargins(split)}
	if opts.DropMargins {
		for i := range split {
			split[i].dropMargins()
		}
	}
	words := wordsOf(pages)
	var text []byte
	var last *block // the one that the text ends with
	for i := range split {
		span := Span{Page: split[i].number, Start: len(text), End: len(text)}
		for n := range split[i].blocks {
			b := &split[i].blocks[n]
			piece, separator := b.text(), "\n\n"
			switch {
			case last == nil:
				separator = ""
			case n == 0:
				separator = opts.Separator
				if j, ok := join(last, b, opts, words); ok {
					separator, piece = j.between, j.second
					text = text[:len(text)-len(last.text())+len(j.first)]
					doc.shorten(len(text))
					b = b.joined(j)
				}
			}
			text = append(text, separator...)
			if n == 0 {
				span.Start = len(text)
			}
			text = append(text, piece...)
			last = b
		}
		span.End = len(text)
		doc.Spans = append(doc.Spans, span)
	}
	doc.Text = string(text)
	return doc
}

// shorten cuts the spans off at the end of the text.
func (d *Document) shorten(length int) {
	for i := len(d.Spans) - 1; i >= 0 && d.Spans[i].End > length; i-- {
		d.Spans[i].End = length
		d.Spans[i].Start = min(d.Spans[i].Start, length)
	}
}
