package omnidocs

import (
	"context"
	"errors"
	"image"
	"io"
	"strings"

	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/textextraction"
)

// pictures is a source of picture files. None of them is held open: a document may have thousands.
type pictures struct {
	files []pictureFile
	at    []pageAt // of each page
}

type pageAt struct{ file, page int }

type pictureFile struct {
	file
	pages *imageproc.Pages
}

// add inspects a file and makes its pages the next ones. It returns the file's size in bytes.
func (p *pictures) add(ctx context.Context, f file, opts LoadOptions) (size int64, err error) {
	pages, err := withFile(f, func(r io.ReaderAt, n int64) (*imageproc.Pages, error) {
		size = n
		return imageproc.Inspect(ctx, r, n, opts.imageLimits())
	})
	if err != nil {
		return size, err
	}
	for i := range pages.Len() {
		p.at = append(p.at, pageAt{len(p.files), i})
	}
	p.files = append(p.files, pictureFile{f, pages})
	return size, nil
}

// format is Python's name for the format of the first file.
func (p *pictures) format() string {
	name := p.files[0].pages.Format
	if name == "JPEG" {
		return "jpg"
	}
	return strings.ToLower(name)
}

func (p *pictures) count() int { return len(p.at) }

func (p *pictures) size(ctx context.Context, i int) (image.Point, error) {
	f := p.files[p.at[i].file]
	size, err := withFile(f.file, func(r io.ReaderAt, size int64) (image.Point, error) { return f.pages.Size(ctx, r, size, p.at[i].page) })
	return size, pictureError(err)
}

func (p *pictures) render(ctx context.Context, i int) (image.Image, error) {
	f := p.files[p.at[i].file]
	img, err := withFile(f.file, func(r io.ReaderAt, size int64) (image.Image, error) {
		return f.pages.Decode(ctx, r, size, p.at[i].page)
	})
	return img, pictureError(err)
}

func (*pictures) text(context.Context, int) (string, error) { return "", nil }
func (*pictures) close() error                              { return nil }

// pictureError makes an error match textextraction.ErrImage if the picture is to blame, and ErrTooLarge if its size is.
func pictureError(err error) error {
	switch {
	case errors.Is(err, imageproc.ErrTooLarge):
		return as(ErrTooLarge, as(textextraction.ErrImage, err))
	case errors.Is(err, imageproc.ErrEmpty), errors.Is(err, imageproc.ErrFormat), errors.Is(err, imageproc.ErrTruncated),
		errors.Is(err, imageproc.ErrCorrupt), errors.Is(err, imageproc.ErrUnsupported):
		return as(textextraction.ErrImage, err)
	}
	return err
}

// images is a source of pictures that are decoded already.
type images []image.Image

func (s images) count() int                                         { return len(s) }
func (s images) size(_ context.Context, i int) (image.Point, error) { return s[i].Bounds().Size(), nil }
func (s images) render(_ context.Context, i int) (image.Image, error) {
	return s[i], nil
}
func (images) text(context.Context, int) (string, error) { return "", nil }
func (images) close() error                              { return nil }
