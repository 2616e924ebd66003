package jetstream

import (
	"slices"
	"sort"
)

// pageSet is a set of pages of a job's documents. Documents of which it has all pages are a few spans of their numbers, however many they are; only of the others, of which
// there are as many as workers are at, it knows each page: one bit.
type pageSet struct {
	Whole []span        `json:"whole,omitempty"` // in order, none touches another
	Parts map[int]*part `json:"parts,omitempty"` // by document
}

// span is documents, from the first to the last.
type span [2]int

// part is some pages of a document.
type part struct {
	Pages int    `json:"pages"` // of the document; less than 0 if that is not known
	Count int    `json:"count,omitzero"`
	Bits  []byte `json:"bits,omitempty"`
}

// knows says whether anything is known of a document, and how many pages it has, if not all of them are in the set.
func (s *pageSet) knows(document int) (known bool, pages int) {
	if s.whole(document) {
		return true, 0
	}
	if p := s.Parts[document]; p != nil && p.Pages >= 0 {
		return true, p.Pages
	}
	return false, 0
}

// open says how many pages a document has. It returns false if that was said before.
func (s *pageSet) open(document, pages int) bool {
	if known, _ := s.knows(document); known {
		return false
	}
	s.part(document).Pages = pages
	s.close(document)
	return true
}

// add adds a page. It returns false if the page was there before, or the document has no such page.
func (s *pageSet) add(document, page int) bool {
	if s.whole(document) {
		return false
	}
	p := s.part(document)
	if p.Pages >= 0 && page >= p.Pages || p.has(page) {
		return false
	}
	if missing := page/8 + 1 - len(p.Bits); missing > 0 {
		p.Bits = append(p.Bits, make([]byte, missing)...)
	}
	p.Bits[page/8] |= 1 << (page % 8)
	p.Count++
	s.close(document)
	return true
}

// has says whether a page is in the set.
func (s *pageSet) has(document, page int) bool {
	return s.whole(document) || s.Parts[document].has(page)
}

func (p *part) has(page int) bool {
	return p != nil && page/8 < len(p.Bits) && p.Bits[page/8]&(1<<(page%8)) != 0
}

func (s *pageSet) part(document int) *part {
	p := s.Parts[document]
	if p == nil {
		if s.Parts == nil {
			s.Parts = map[int]*part{}
		}
		p = &part{Pages: -1}
		s.Parts[document] = p
	}
	return p
}

// close makes a document that is complete one of the spans.
func (s *pageSet) close(document int) {
	if p := s.Parts[document]; p.Pages < 0 || p.Count < p.Pages {
		return
	}
	delete(s.Parts, document)
	i := s.search(document)
	before, after := i > 0 && s.Whole[i-1][1] == document-1, i < len(s.Whole) && s.Whole[i][0] == document+1
	switch {
	case before && after:
		s.Whole[i-1][1] = s.Whole[i][1]
		s.Whole = slices.Delete(s.Whole, i, i+1)
	case before:
		s.Whole[i-1][1] = document
	case after:
		s.Whole[i][0] = document
	default:
		s.Whole = slices.Insert(s.Whole, i, span{document, document})
	}
}

// search returns the place of the first span that ends at a document or after it.
func (s *pageSet) search(document int) int {
	return sort.Search(len(s.Whole), func(i int) bool { return s.Whole[i][1] >= document })
}

func (s *pageSet) whole(document int) bool {
	i := s.search(document)
	return i < len(s.Whole) && s.Whole[i][0] <= document
}
