package textextraction_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// A page's text as it is written, with the small model that comes with the library.
func ExampleQwenTextExtractor_Stream() {
	ctx := context.Background()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house on the hill", Width: 384, Height: 128, Left: 0.001, Top: 0.001})
	if err != nil {
		log.Fatal(err)
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	text := ""
	for delta, err := range ex.Stream(ctx, page.Image, textextraction.Options{}) {
		if err != nil {
			log.Fatal(err)
		}
		text = delta.Apply(text) // show it
		if r := delta.Result; r != nil {
			fmt.Println(strings.TrimSpace(text))
			fmt.Println(r.FinishReason, text == r.Content, r.Confidence.Probability() > 0.9, len(r.UncertainSpans))
		}
	}
	// Output:
	// the black house on the hill
	// stop true true 0
}

// What has been told is taken back when a loop is undone.
func ExampleDelta_Apply() {
	text := ""
	for _, d := range []textextraction.Delta{
		{Offset: 0, Text: "Dear Sir, "},
		{Offset: 10, Text: "very very very very "},
		{Offset: 15, Text: "kind"},
	} {
		text = d.Apply(text)
	}
	fmt.Println(text)
	// Output: Dear Sir, very kind
}
