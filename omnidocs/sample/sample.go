// Package sample draws documents that the embedded model reads ([textextraction.TinyModel]), for examples and trials.
package sample

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/internal/pdfwriter"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs"
)

// Letter draws letter n, counted from 0; each says something else.
func Letter(n int) (image.Image, error) {
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SampleLetter(n)})
	if err != nil {
		return nil, fmt.Errorf("sample: letter %d: %w", n, err)
	}
	return p.Image, nil
}

// PDF draws letters, one a page. Rendered at [omnidocs.DefaultDPI] they are as [Letter] draws them.
func PDF(letters ...int) ([]byte, error) {
	var pages []pdfwriter.Page
	for _, n := range letters {
		img, err := Letter(n)
		if err != nil {
			return nil, err
		}
		const points = 72.0 / omnidocs.DefaultDPI // a pixel's
		size := img.Bounds().Size()
		pages = append(pages, pdfwriter.Page{Width: points * float64(size.X), Height: points * float64(size.Y), Image: img})
	}
	return pdfwriter.Write(map[string]string{"Title": "Letters"}, pages...), nil
}

// Folder makes a folder of five letters: orders.pdf of three pages, order.pdf, and order.png, a picture with the name of one of them.
func Folder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	for name, letters := range map[string][]int{"orders.pdf": {0, 1, 2}, "order.pdf": {3}} {
		data, err := PDF(letters...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("sample: %w", err)
		}
	}
	img, err := Letter(4)
	if err != nil {
		return err
	}
	var data bytes.Buffer
	if err := png.Encode(&data, img); err != nil {
		return fmt.Errorf("sample: letter 4: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "order.png"), data.Bytes(), 0o644); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	return nil
}
