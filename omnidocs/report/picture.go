package report

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/jpeg"

	"golang.org/x/image/draw"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
)

// picture renders a page, or says why there is none.
func (v *view) picture(out *pageView, id string, d *jobs.DocumentResult, p jobs.PageOutcome) {
	if !v.pictures[d][p.Page] {
		out.NoPicture = "no picture: there are more pages than MaxPictures"
		if v.opts.MaxPictures < 0 {
			out.NoPicture = "no picture"
		}
		return
	}
	if v.docOf != d {
		v.close()
		v.docOf = d
		v.doc, v.fault = v.opts.Open(v.ctx, id, d)
	}
	if v.fault != nil {
		out.NoPicture = "no picture: " + v.fault.Error()
		return
	}
	img, err := v.doc.Page(v.ctx, p.Page)
	if err == nil {
		out.Picture, err = dataURL(img, v.opts.PictureWidth)
	}
	if err != nil {
		out.NoPicture = "no picture: " + err.Error()
		return
	}
	if out.Width == 0 {
		out.Width, out.Height = img.Bounds().Dx(), img.Bounds().Dy()
	}
}

// close closes the document that is open.
func (v *view) close() {
	if v.doc != nil {
		_ = v.doc.Close() // it was only read
	}
	v.doc, v.docOf, v.fault = nil, nil, nil
}

// dataURL is an image of no more than a width, on white.
func dataURL(img image.Image, width int) (template.URL, error) {
	b := img.Bounds()
	size := image.Rect(0, 0, b.Dx(), b.Dy())
	if b.Dx() > width {
		size = image.Rect(0, 0, width, max(1, b.Dy()*width/b.Dx()))
	}
	small := image.NewRGBA(size)
	draw.Draw(small, size, image.White, image.Point{}, draw.Src)
	draw.ApproxBiLinear.Scale(small, size, img, b, draw.Over, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: 75}); err != nil {
		return "", err
	}
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(out.Bytes())), nil //nolint:gosec // our own bytes
}
