// Command pages draws held-out pages for eval.py with the drawer of package
// tiny: NAME.png and NAME.txt for every page, nine classes of them.
//
//	python data.py -heldout heldout.txt
//	go run ./internal/tiny/train/pages -text heldout.txt -n 8 -out DIR
package main

import (
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/internal/tiny"
)

// classes are the rows of the table in MODEL.md.
var classes = []struct {
	name string
	tiny.Class
}{
	{"small", tiny.Class{Width: 384, Height: 192}},
	{"size24", tiny.Class{Width: 512, Height: 384, Size: 24}},
	{"size27", tiny.Class{Width: 512, Height: 384, Size: 27}},
	{"size30", tiny.Class{Width: 512, Height: 384, Size: 30}},
	{"tight", tiny.Class{Width: 512, Height: 384, Pitch: 1.15}},
	{"loose", tiny.Class{Width: 512, Height: 384, Pitch: 1.45}},
	{"prose", tiny.Class{Width: 512, Height: 384, Plain: true}},
	{"any", tiny.Class{}},
	{"resized", tiny.Class{Width: 500, Height: 370}}, // to 512x384 by the image processor
}

func main() {
	text := flag.String("text", "", "file of paragraphs to draw, a blank line between two; package tiny's own if empty")
	n := flag.Int("n", 8, "pages of every class")
	seed := flag.Uint64("seed", 1, "seed of the first page; each page takes the next")
	out := flag.String("out", "", "folder to write to (required)")
	flag.Parse()
	if err := run(*text, *n, *seed, *out); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

func run(text string, n int, seed uint64, out string) error {
	if out == "" {
		return fmt.Errorf("-out is missing: name the folder to write to")
	}
	paragraphs := tiny.Paragraphs()
	if text != "" {
		b, err := os.ReadFile(text)
		if err != nil {
			return err
		}
		if paragraphs = tiny.SplitParagraphs(string(b)); len(paragraphs) == 0 {
			return fmt.Errorf("%s holds no text", text)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, c := range classes {
		for i := range n {
			p, err := tiny.DrawPage(tiny.RandomPage(seed, paragraphs, c.Class))
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", c.name, seed, err)
			}
			if err := write(filepath.Join(out, fmt.Sprintf("%s-%02d", c.name, i)), p); err != nil {
				return err
			}
			seed++
		}
	}
	return nil
}

func write(base string, p *tiny.Page) error {
	f, err := os.Create(base + ".png")
	if err != nil {
		return err
	}
	if err := png.Encode(f, p.Image); err != nil {
		f.Close()
		return fmt.Errorf("%s.png: %w", base, err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.WriteFile(base+".txt", []byte(p.Markdown), 0o644)
}
