// Package omnidocs opens documents and gives their pages as images, for the extractors of
// [github.com/omnidocs/omnidocs/textextraction] to read.
//
//	doc, err := omnidocs.Open(ctx, "report.pdf", omnidocs.LoadOptions{})
//	if err != nil {
//		return err
//	}
//	defer doc.Close()
//	for res, err := range ex.Batch(ctx, doc.Pages(ctx), textextraction.BatchOptions{}) {
//		…
//	}
//
// It mirrors the Document of the Python library OmniDocs. Pages are rendered when they are asked for, and a document
// holds on to no more than the last few, so that one of a thousand pages takes no more memory than one of ten.
//
// # PDFs
//
// PDFs are rendered by PDFium, which is compiled to WebAssembly and runs within this process, in pure Go: nothing needs to
// be installed. A file that breaks it, or makes it hang, costs an error and no more. Fonts that a PDF has not embedded are
// replaced by PDFium's own, so that a page looks the same on every machine. Annotations and filled-in form fields are
// drawn.
//
// # What differs from Python
//
//   - FromURL bounds what it downloads, and refuses addresses that are not public.
//   - Pages are counted from 0 everywhere. Python's get_page_text counts from 1.
//   - Files are told by what is in them, not by their names, and FromBytes and FromURL read pictures too.
//   - All pages of a TIFF are pages, EXIF orientation is honored, and transparent pixels are white.
//   - A page that cannot be read is a [PageError], and the others go on; an encrypted or damaged PDF is a [DocumentLoadError].
//   - Rendered pages are kept in a small window, not until the document is closed.
//   - PageSize is the size that the rendered page has; Python's may be a pixel less.
//   - There is one source of text, PDFium; Python falls back to pdfplumber if that finds 50 characters or fewer.
package omnidocs
