package backend_test

import (
	"context"
	"fmt"
	"log"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
)

func ExampleEngine_Generate() {
	ctx := context.Background()
	engine, err := backend.Load(ctx, backend.LoadOptions{Model: tiny.Name, Device: "go", MaxBatch: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		log.Fatal(err)
	}
	requests := []backend.Request{
		{Image: page.Image, Prompt: "qwenvl markdown"},
		{Image: page.Image, Prompt: "qwenvl markdown", MaxNewTokens: 3},
	}
	outputs := make([]backend.Output, len(requests))
	err = engine.Generate(ctx, requests, func(i int, out backend.Output, err error) {
		if err != nil {
			log.Print(err) // this page's; the others go on
		}
		outputs[i] = out
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, out := range outputs {
		fmt.Println(out.Finish, out.VisualTokens)
	}
	// Output:
	// stop 192
	// length 192
}
