package omnidocs

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/omnidocs/omnidocs/omnidocs/internal/pdf"
)

// pdfSource is a source of a PDF's pages. It holds the file open.
type pdfSource struct {
	pdf  *pdf.File
	file opened
	dpi  int
}

// openPDF opens a PDF, of which the metadata are completed.
func openPDF(ctx context.Context, f file, opts LoadOptions, meta DocumentMetadata) (*pdfSource, DocumentMetadata, error) {
	open, err := f()
	if err != nil {
		return nil, meta, err
	}
	p, err := pdf.Open(ctx, open, open.size, opts.Password, pdf.Limits{MaxPixels: opts.MaxPixels, Timeout: opts.PageTimeout})
	if err != nil {
		_ = open.close()
		return nil, meta, pdfError(err)
	}
	meta.FileSize, meta.Format, meta.ImageDPI = open.size, "pdf", opts.DPI
	meta.TextExtractionEngine, meta.PDFMetadata = "pdfium", p.Metadata()
	return &pdfSource{p, open, opts.DPI}, meta, nil
}

func (s *pdfSource) count() int { return s.pdf.Count() }

func (s *pdfSource) size(ctx context.Context, i int) (image.Point, error) {
	size, err := s.pdf.Size(ctx, i, s.dpi)
	return size, pdfError(err)
}

func (s *pdfSource) render(ctx context.Context, i int) (image.Image, error) {
	img, err := s.pdf.Render(ctx, i, s.dpi)
	if err != nil {
		return nil, pdfError(err)
	}
	return img, nil
}

func (s *pdfSource) text(ctx context.Context, i int) (string, error) {
	text, err := s.pdf.Text(ctx, i)
	return text, pdfError(err)
}

func (s *pdfSource) close() error {
	s.pdf.Close()
	return s.file.close()
}

// pdfError makes an error match what this package says that it does.
func pdfError(err error) error {
	switch {
	case errors.Is(err, pdf.ErrPassword):
		return as(ErrPassword, fmt.Errorf("%w; give LoadOptions.Password", err))
	case errors.Is(err, pdf.ErrTooLarge):
		return as(ErrTooLarge, err)
	case errors.Is(err, pdf.ErrTimeout):
		return as(ErrPageTimeout, err)
	}
	return err
}
