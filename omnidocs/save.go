package omnidocs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
)

// SaveOptions says how pages are saved. A zero SaveOptions consists entirely of default values.
type SaveOptions struct {
	// Prefix begins the files' names. Default "page".
	Prefix string
	// Format is "png" or "jpg". Default "png".
	Format string
	// Quality is that of JPEG, 1 to 100. Default 95.
	Quality int
}

// SaveImages renders all pages into dir, which it makes if need be, as page_001.png and so on, and returns the paths.
// It stops at the first page that fails; the paths are then those of the pages before.
func (d *Document) SaveImages(ctx context.Context, dir string, opts SaveOptions) (paths []string, err error) {
	opts.Prefix = defaultTo(opts.Prefix, "page")
	opts.Format = defaultTo(opts.Format, "png")
	opts.Quality = defaultTo(opts.Quality, 95)
	var encode func(io.Writer, image.Image) error
	switch opts.Format {
	case "png", "PNG":
		encode, opts.Format = png.Encode, "png"
	case "jpg", "jpeg", "JPEG", "JPG":
		encode, opts.Format = func(w io.Writer, img image.Image) error {
			return jpeg.Encode(w, img, &jpeg.Options{Quality: opts.Quality})
		}, "jpg"
	default:
		return nil, fmt.Errorf(`%w: SaveOptions: Format: %q must be "png" or "jpg"`, ErrOptions, opts.Format)
	}
	if opts.Quality < 1 || opts.Quality > 100 {
		return nil, fmt.Errorf("%w: SaveOptions: Quality: %d must be from 1 to 100", ErrOptions, opts.Quality)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("omnidocs: save images: %w", err)
	}
	for i := range d.PageCount() {
		img, err := d.Page(ctx, i)
		if err != nil {
			return paths, err
		}
		path := filepath.Join(dir, fmt.Sprintf("%s_%03d.%s", opts.Prefix, i+1, opts.Format))
		if err := saveImage(path, img, encode); err != nil {
			return paths, fmt.Errorf("omnidocs: save images: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// saveImage writes a picture. What could not be written whole is removed.
func saveImage(path string, img image.Image, encode func(io.Writer, image.Image) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err := errors.Join(encode(w, img), w.Flush(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), os.Remove(path))
	}
	return nil
}
