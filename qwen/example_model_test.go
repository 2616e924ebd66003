package qwen_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
)

// A page is read step by step. Package textextraction does this, and much around it, in one call.
func ExampleModel() {
	ctx := context.Background()
	device, err := backend.Open(ctx, "go")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	model, err := qwen.Load(ctx, device.Runtime(), tiny.FS(), qwen.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "Good morning.", Width: 320, Height: 96})
	if err != nil {
		log.Fatal(err)
	}
	text, err := read(ctx, model, page)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output: Good morning.
}

// Two prompts about one page: the second begins behind its picture, where the first has been.
func ExampleModel_PromptWith() {
	ctx := context.Background()
	device, err := backend.Open(ctx, "go")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	model, err := qwen.Load(ctx, device.Runtime(), tiny.FS(), qwen.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "Good morning.", Width: 640, Height: 160})
	if err != nil {
		log.Fatal(err)
	}
	patches, err := model.Processor.Process(ctx, page.Image, qwen.Bounds{})
	if err != nil {
		log.Fatal(err)
	}
	visual, err := model.Encode(ctx, patches)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = visual.Close() }()
	var prefix *qwen.Prefix
	for _, text := range []string{"qwenvl markdown", "qwenvl html"} {
		layout, err := model.Layout(qwen.Prompt{Text: text}, []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
		if err != nil {
			log.Fatal(err)
		}
		o := qwen.PromptOptions{Behind: prefix, Keep: true}
		if prefix != nil {
			o.Tokens = prefix.Behind(layout, func(int) bool { return true }) // it is the same picture
		}
		prompted, err := model.PromptWith(ctx, layout, []*qwen.Visual{visual}, o)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: runs all of its tokens: %t\n", text, o.Tokens == 0)
		if prefix == nil {
			prefix, prompted.Prefix = prompted.Prefix, nil
		}
		_ = prompted.Close() // or a cache takes it, see Cache.Take
	}
	_ = prefix.Close()
	// Output:
	// qwenvl markdown: runs all of its tokens: true
	// qwenvl html: runs all of its tokens: false
}

func read(ctx context.Context, model *qwen.Model, page *tiny.Page) (string, error) {
	patches, err := model.Processor.Process(ctx, page.Image, qwen.Bounds{})
	if err != nil {
		return "", err
	}
	visual, err := model.Encode(ctx, patches)
	if err != nil {
		return "", err
	}
	defer func() { _ = visual.Close() }()
	layout, err := model.Layout(qwen.Prompt{Text: "qwenvl markdown"}, []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
	if err != nil {
		return "", err
	}
	cache := model.NewCache(1, len(layout.IDs)+100)
	defer func() { _ = cache.Close() }()
	hidden, err := model.Prefill(ctx, layout, []*qwen.Visual{visual}, cache, 0)
	var tokens []int32
	for err == nil {
		next, chooseErr := model.Choose(ctx, hidden, nil)
		_ = hidden.Close()
		if chooseErr != nil {
			return "", chooseErr
		}
		if slices.Contains(model.Spec.EOS, next.Tokens[0]) || len(tokens) == 99 {
			return model.Tokenizer.Decode(tokens, true), nil
		}
		tokens = append(tokens, next.Tokens[0])
		hidden, err = model.Step(ctx, cache, next.Tokens, []bool{true})
	}
	return "", err
}
