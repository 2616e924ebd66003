// Package assemble makes one document of the texts of its pages.
//
//	doc := assemble.Markdown(pages, assemble.Options{DropMargins: true})
//
// What the break of a page has divided is joined again: words at their hyphen, paragraphs, and, on request, tables. What stands at the edge of every page, running headers,
// footers and page numbers, is found by its repetition and can be left out. Spans say which part of the text is from which page; what was left out is told, so that nothing is lost.
//
// # What is a margin
//
// A line at the top or the bottom of a page that, but for its numbers, is also there on at least two other pages, with no more than one page without it in between (so that left and
// right pages may differ), is a header or a footer, if its numbers are the same everywhere or one of them counts the pages. A line of which nothing but such a
// number is left is a page number. A line farther from the edge is a margin only if those between are. Tables, lists and code are never margins. So documents of one or two pages have none.
package assemble
