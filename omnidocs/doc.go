// Package omnidocs opens documents and gives their pages as images, for the extractors of
// [github.com/omnidocs/omnidocs/textextraction] to read.
//
//	doc, err := omnidocs.Open(ctx, "scan.tiff", omnidocs.LoadOptions{})
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
package omnidocs
