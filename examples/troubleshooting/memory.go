package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// memory loads a model into too little memory, and has it read a page that is too large for what is left.
func memory(ctx context.Context, _ flags, out io.Writer) (err error) {
	small := textextraction.QwenTextVLLMConfig{
		Model: textextraction.TinyModel, Device: "go", MaxNumSeqs: 1, MaxModelLen: 1536, MaxPixels: 64 * 1024, EnforceEager: true, MemoryLimit: 10_000_000,
	}
	fmt.Fprintln(out, "A model that does not fit is refused before anything of it is loaded, with what would help:")
	_, err = textextraction.NewQwenTextExtractor(ctx, small)
	var oom *textextraction.OutOfMemoryError
	if !errors.As(err, &oom) {
		return fmt.Errorf("want an OutOfMemoryError, got %w", err)
	}
	fmt.Fprintf(out, "  it takes %.1f MB, there are %.1f MB\n", float64(oom.Plan.Total)/1e6, float64(oom.Plan.Limit)/1e6)
	for _, advice := range oom.Plan.Advice {
		fmt.Fprintf(out, "  what would help: %s\n", advice)
	}

	fmt.Fprintln(out, "With as much as its plan says it is loaded; a page that is larger than planned for has no room:")
	small.MemoryLimit = oom.Plan.Total
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage, Width: 1024, Height: 1024})
	if err != nil {
		return err
	}
	large := textextraction.Options{MaxPixels: 1024 * 1024, MaxNewTokens: 16}
	if _, err := read(ctx, small, page, large); !errors.Is(err, textextraction.ErrOutOfMemory) {
		return fmt.Errorf("want ErrOutOfMemory, got %w", err)
	} else {
		fmt.Fprintf(out, "  error: %v\n", err)
	}

	fmt.Fprintln(out, "OutOfMemoryRetries: 5 has it read with half the pixels, and half of these, until it fits:")
	small.OutOfMemoryRetries = 5
	res, err := read(ctx, small, page, large)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "  read with %d visual tokens of %d\n", res.VisualTokens, 1024)
	return err
}

// read reads a page with a model that is loaded for it.
func read(ctx context.Context, c textextraction.Config, page *tiny.Page, o textextraction.Options) (_ *textextraction.ExtractResult, err error) {
	x, err := textextraction.NewQwenTextExtractor(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	return x.ExtractWith(ctx, page.Image, o)
}
