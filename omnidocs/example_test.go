package omnidocs_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/internal/pdfwriter"
	"github.com/omnidocs/omnidocs/omnidocs"
)

// writePDF writes a PDF of two pages for the examples, and returns its path.
func writePDF() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "omnidocs")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "letter.pdf")
	data := pdfwriter.Write(map[string]string{"Title": "A letter"},
		pdfwriter.Page{Text: "Dear reader,"}, pdfwriter.Page{Text: "yours,\nthe writer"})
	if err := os.WriteFile(path, data, 0o644); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

// The pages of a PDF, one after the other.
func ExampleFromPDF() {
	ctx := context.Background()
	path, remove := writePDF()
	defer remove()
	doc, err := omnidocs.FromPDF(ctx, path, omnidocs.LoadOptions{DPI: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer doc.Close()
	fmt.Println(doc.Metadata().PDFMetadata["Title"], "has", doc.PageCount(), "pages")
	for img, err := range doc.Pages(ctx) { // what the Batch method of an extractor takes
		if err != nil {
			fmt.Println(err) // a *PageError; the other pages follow
			continue
		}
		fmt.Println(img.Bounds().Size())
	}
	// Output:
	// A letter has 2 pages
	// (850,1100)
	// (850,1100)
}

// What kept a document from being opened.
func ExampleOpen_errors() {
	ctx := context.Background()
	_, err := omnidocs.Open(ctx, "no/such.pdf", omnidocs.LoadOptions{})
	if load := new(omnidocs.DocumentLoadError); errors.As(err, &load) {
		fmt.Println("not there:", errors.Is(err, os.ErrNotExist))
	}
	path, remove := writePDF()
	defer remove()
	_, err = omnidocs.Open(ctx, path, omnidocs.LoadOptions{Pages: &omnidocs.PageRange{First: 0, Last: 5}})
	if pages := new(omnidocs.PageRangeError); errors.As(err, &pages) {
		fmt.Println("it has only", pages.Count, "pages")
	}
	// Output:
	// not there: true
	// it has only 2 pages
}

// The text that a PDF itself has; pictures have none. Pages are counted from 0.
func ExampleDocument_PageText() {
	ctx := context.Background()
	path, remove := writePDF()
	defer remove()
	doc, err := omnidocs.Open(ctx, path, omnidocs.LoadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer doc.Close()
	text, err := doc.PageText(ctx, 1)
	fmt.Printf("%q %v\n", text, err)
	// Output: "yours,\nthe writer" <nil>
}

// What memory is to be planned for: see examples/plan.
func ExampleDocument_LargestPage() {
	ctx := context.Background()
	path, remove := writePDF()
	defer remove()
	doc, err := omnidocs.Open(ctx, path, omnidocs.LoadOptions{DPI: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer doc.Close()
	fmt.Println(doc.LargestPage(ctx))
	// Output: 850 1100 <nil>
}

// All pages of all documents of a folder.
func ExampleBatchFromDirectory() {
	ctx := context.Background()
	path, remove := writePDF()
	defer remove()
	batch, err := omnidocs.BatchFromDirectory(ctx, filepath.Dir(path), omnidocs.BatchOptions{Recursive: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(batch.Count(), "document")
	for page, err := range batch.AllPages(ctx) {
		if err != nil {
			fmt.Println(err) // the others follow
			continue
		}
		fmt.Println(filepath.Base(page.Path), "page", page.Page, page.Image.Bounds().Size())
	}
	// Output:
	// 1 document
	// letter.pdf page 0 (1275,1650)
	// letter.pdf page 1 (1275,1650)
}

// A URL that leads to where a stranger must not send us.
func ExampleFromURL() {
	_, err := omnidocs.FromURL(context.Background(), "http://169.254.169.254/latest/meta-data/", omnidocs.URLOptions{})
	fmt.Println(errors.Is(err, omnidocs.ErrURLRefused))
	fmt.Println(err)
	// Output:
	// true
	// omnidocs: download http://169.254.169.254/latest/meta-data/: refused: the address 169.254.169.254 is not public: link-local, where clouds have their metadata
}

// A document of pictures that a program has made itself.
func ExampleNewImageDocument() {
	doc, err := omnidocs.NewImageDocument("scan", image.NewGray(image.Rect(0, 0, 200, 100)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer doc.Close()
	fmt.Println(doc)
	// Output: scan (1 page)
}
