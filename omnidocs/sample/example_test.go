package sample_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/sample"
	"github.com/omnidocs/omnidocs/textextraction"
)

// A PDF of one letter, read with the embedded model.
func ExamplePDF() {
	ctx := context.Background()
	data, err := sample.PDF(2)
	if err != nil {
		log.Fatal(err)
	}
	doc, err := omnidocs.FromBytes(ctx, data, "letter.pdf", omnidocs.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer doc.Close()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	page, err := doc.Page(ctx, 0)
	if err != nil {
		log.Fatal(err)
	}
	res, err := ex.Extract(ctx, page, textextraction.Markdown)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Content)
	// Output:
	// # Order 4713
	//
	// Thank you for your letter of May 3. The goods will leave our house on Monday.
	//
	// - 4 iron hooks
	// - 5 boxes of paper
	//
	// Please pay $92.40 by the end of the month.
}

// The documents of the folder.
func ExampleFolder() {
	dir, err := os.MkdirTemp("", "letters-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := sample.Folder(dir); err != nil {
		log.Fatal(err)
	}
	batch, err := omnidocs.BatchFromDirectory(context.Background(), dir, omnidocs.BatchOptions{Pattern: "*"})
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range batch.Paths() {
		fmt.Println(filepath.Base(path))
	}
	// Output:
	// order.pdf
	// order.png
	// orders.pdf
}
