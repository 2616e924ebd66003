package jobs_test

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// widths stands for a real extractor: it says how wide the page is.
type widths struct{ textextraction.TextExtractor }

func (widths) ExtractWith(_ context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	if img.Bounds().Dx() > 100 {
		return nil, fmt.Errorf("%w: it is too wide", textextraction.ErrImage)
	}
	return textextraction.NewExtractResult(fmt.Sprintf("%d pixels wide", img.Bounds().Dx()), opts.Format), nil
}

func ExampleProcessDocument() {
	doc, err := omnidocs.NewImageDocument("three.pages", image.NewGray(image.Rect(0, 0, 30, 40)), image.NewGray(image.Rect(0, 0, 300, 40)), image.NewGray(image.Rect(0, 0, 60, 40)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer doc.Close()
	result, err := jobs.ProcessDocument(context.Background(), doc, widths{}, jobs.Options{PageTimeout: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.ProcessedPages(), "of", result.PageCount)
	for _, page := range result.Pages() {
		if page.Err != nil {
			fmt.Println("page", page.Page, "failed:", page.Err)
		}
	}
	fmt.Println(jobs.MergeTextResults(result.AllResults(), "\n---\n"))
	// Output:
	// 2 of 3
	// page 1 failed: textextraction: unreadable image: it is too wide
	// 30 pixels wide
	// ---
	// 60 pixels wide
}

func ExampleProcessDirectory() {
	read := func(ctx context.Context, ex textextraction.TextExtractor) error {
		batch, err := jobs.ProcessDirectory(ctx, "pdfs", ex, jobs.DirectoryOptions{
			OutputDir: "results",
			Outputs:   []jobs.Output{jobs.JSON, jobs.Markdown},
			Options: jobs.Options{
				Progress: func(p jobs.Progress) {
					fmt.Printf("%d of about %d pages, %d failed, %v left\n", p.Done, p.PagesExpected, p.Failed, p.Remaining.Round(time.Second))
				},
			},
		})
		if err != nil {
			return err
		}
		for id, doc := range batch.All() {
			fmt.Println(id, doc)
		}
		return nil
	}
	_ = read
}
