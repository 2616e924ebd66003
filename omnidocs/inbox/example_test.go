package inbox_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/omnidocs/inbox"
	"github.com/omnidocs/omnidocs/textextraction"
)

// widths stands for a real extractor: it says how wide the page is.
type widths struct{ textextraction.TextExtractor }

func (widths) ExtractWith(_ context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	return textextraction.NewExtractResult(fmt.Sprintf("%d pixels wide", img.Bounds().Dx()), opts.Format), nil
}

func (widths) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "widths", nil
}

func ExampleInbox_Run() {
	dir, err := os.MkdirTemp("", "inbox")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	box, err := inbox.Open(dir, widths{}, inbox.Options{
		Settle: -1, // the file is whole; others may still be written to
		OnFile: func(r inbox.Result) { fmt.Printf("%s: %q, %d words\n", r.FileName, r.Content, r.WordCount) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer box.Close()
	f, err := os.Create(filepath.Join(dir, "inbox", "page.png"))
	if err == nil {
		err = png.Encode(f, image.NewGray(image.Rect(0, 0, 30, 40)))
		f.Close()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	summary, err := box.Run(context.Background())
	fmt.Println(summary.Processed, "processed,", summary.Failed, "failed,", err)
	// Output:
	// page.png: "30 pixels wide", 3 words
	// 1 processed, 0 failed, <nil>
}
