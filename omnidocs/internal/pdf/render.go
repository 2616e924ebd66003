package pdf

import (
	"fmt"
	"image"

	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// render renders a page.
func (w *worker) render(i, dpi int) (*imageproc.RGB, error) {
	size, err := w.pageSize(i, dpi)
	if err != nil {
		return nil, err
	}
	return withPage(w, i, func(page requests.Page) (*imageproc.RGB, error) { return w.draw(page, size) })
}

// draw renders a page that is loaded.
func (w *worker) draw(page requests.Page, size image.Point) (*imageproc.RGB, error) {
	const depth = 4 // bytes; PDFium takes two and a half times as long to draw on a bitmap of 3
	created, err := w.pdfium.FPDFBitmap_CreateEx(&requests.FPDFBitmap_CreateEx{
		Width: size.X, Height: size.Y, Format: enums.FPDF_BITMAP_FORMAT_BGRX, Pointer: uint64(0),
	})
	if err != nil {
		return nil, err
	}
	bitmap := created.Bitmap
	// A bitmap that there is no memory for has no buffer; drawing into it would draw nothing.
	if pixels, err := w.pixels(bitmap); err != nil || len(pixels) < depth*size.X*size.Y {
		return nil, fmt.Errorf("%w: no memory for %d x %d pixels", ErrTooLarge, size.X, size.Y)
	}
	if _, err := w.pdfium.FPDFBitmap_FillRect(&requests.FPDFBitmap_FillRect{
		Bitmap: bitmap, Width: size.X, Height: size.Y, Color: 0xffffffff,
	}); err != nil {
		return nil, err
	}
	if _, err := w.pdfium.FPDF_RenderPageBitmap(&requests.FPDF_RenderPageBitmap{
		Bitmap: bitmap, Page: page, SizeX: size.X, SizeY: size.Y,
		Flags: enums.FPDF_RENDER_FLAG_ANNOT | enums.FPDF_RENDER_FLAG_REVERSE_BYTE_ORDER,
	}); err != nil {
		return nil, err
	}
	pixels, err := w.pixels(bitmap)
	if err != nil {
		return nil, err
	}
	img := imageproc.NewRGB(size.X, size.Y)
	stride := len(pixels) / size.Y
	for y := range size.Y {
		src, dst := pixels[stride*y:][:depth*size.X], img.Pix[3*size.X*y:][:3*size.X]
		for len(dst) > 0 {
			dst[0], dst[1], dst[2] = src[0], src[1], src[2]
			src, dst = src[depth:], dst[3:]
		}
	}
	_, err = w.pdfium.FPDFBitmap_Destroy(&requests.FPDFBitmap_Destroy{Bitmap: bitmap})
	return img, err
}

// pixels is the bitmap's memory in the sandbox, until the next call.
func (w *worker) pixels(bitmap references.FPDF_BITMAP) ([]byte, error) {
	buffer, err := w.pdfium.FPDFBitmap_GetBuffer(&requests.FPDFBitmap_GetBuffer{Bitmap: bitmap})
	if err != nil {
		return nil, err
	}
	return buffer.Buffer, nil
}
