package imageproc

import "image"

// yuvRows converts an image of luma and chroma to RGB row by row. It is one worker's, because of its buffers.
type yuvRows struct {
	m       *image.YCbCr
	cb, cr  []uint8 // a row of chroma, at every pixel of even-aligned columns
	enlarge func(dst, near, far []uint8)
	convert func(dst []uint8, y, cb, cr []uint8)
}

// jpegRows converts as libjpeg-turbo does, which Pillow and torchvision use: subsampled chroma is interpolated ("fancy
// upsampling"), where Go's image package repeats it. The colored edge of a letter differs by up to 60 levels of 255
// between the two. What remains is the inverse DCT's rounding: 1 gray sample in 60 is off by one level, 1 colored one in 30 by up to three.
func jpegRows(m *image.YCbCr) *yuvRows {
	r := &yuvRows{m: m, convert: jfifToRGB}
	if m.SubsampleRatio == image.YCbCrSubsampleRatio420 {
		r.enlarge = jpegH2V2
	}
	return r
}

// webpRows converts as libwebp does. VP8's luma runs from 16 to 235 where JPEG's runs from 0 to 255; Go's image package
// takes the one for the other, so that white paper becomes gray (235).
func webpRows(m *image.YCbCr) *yuvRows {
	return &yuvRows{m: m, convert: vp8ToRGB, enlarge: webpH2V2}
}

// row writes row y in RGB.
func (r *yuvRows) row(dst []uint8, y int) {
	m, b := r.m, r.m.Rect
	r.cb = r.chroma(r.cb, m.Cb, y)
	r.cr = r.chroma(r.cr, m.Cr, y)
	skip := b.Min.X % r.pitch()
	r.convert(dst, m.Y[m.YOffset(b.Min.X, y):][:b.Dx()], r.cb[skip:], r.cr[skip:])
}

// pitch is how many pixels share a chroma sample in a row.
func (r *yuvRows) pitch() int {
	switch r.m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		return 2
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		return 4
	}
	return 1
}

// chroma gives a plane's values at every pixel of row y, from the last column at or before the first that begins a
// sample. buf is reused.
func (r *yuvRows) chroma(buf, plane []uint8, y int) []uint8 {
	b, pitch := r.m.Rect, r.pitch()
	n := (b.Max.X-1)/pitch - b.Min.X/pitch + 1
	near := plane[r.m.COffset(b.Min.X, y):][:n]
	// The other row that a pixel of row y lies close to, where two rows share one of chroma.
	other := y - 1 + y&1*2
	if other < b.Min.Y || other >= b.Max.Y {
		other = y
	}
	far := plane[r.m.COffset(b.Min.X, other):][:n]
	if cap(buf) < n*pitch {
		buf = make([]uint8, n*pitch)
	}
	buf = buf[:n*pitch]
	switch {
	case r.enlarge != nil:
		r.enlarge(buf, near, far)
	case r.m.SubsampleRatio == image.YCbCrSubsampleRatio422:
		jpegH2V1(buf, near)
	case r.m.SubsampleRatio == image.YCbCrSubsampleRatio440:
		for i, v := range near { // libjpeg-turbo h1v2_fancy_upsample
			buf[i] = uint8((3*int(v) + int(far[i]) + 1 + y&1) >> 2)
		}
	default:
		for i, v := range near {
			for k := range pitch {
				buf[i*pitch+k] = v
			}
		}
	}
	return buf
}

// jpegH2V1 doubles a row, as libjpeg-turbo's h2v1_fancy_upsample does.
func jpegH2V1(dst, src []uint8) {
	last := len(src) - 1
	if last < 2 { // libjpeg does not interpolate so little
		for i, v := range src {
			dst[2*i], dst[2*i+1] = v, v
		}
		return
	}
	for i, v := range src {
		left, right := src[max(i-1, 0)], src[min(i+1, last)]
		dst[2*i] = uint8((3*int(v) + int(left) + 1) >> 2)
		dst[2*i+1] = uint8((3*int(v) + int(right) + 2) >> 2)
	}
}

// jpegH2V2 doubles a row; near is the closer row of chroma and far the other (libjpeg-turbo h2v2_fancy_upsample).
func jpegH2V2(dst, near, far []uint8) {
	n := len(near)
	if n <= 2 {
		for i, v := range near {
			dst[2*i], dst[2*i+1] = v, v
		}
		return
	}
	far, dst = far[:n], dst[:2*n]
	left := 3*uint(near[0]) + uint(far[0])
	this := left
	for i := range n {
		right := this
		if i+1 < n {
			right = 3*uint(near[i+1]) + uint(far[i+1])
		}
		dst[2*i] = uint8((3*this + left + 8) >> 4)
		dst[2*i+1] = uint8((3*this + right + 7) >> 4)
		left, this = this, right
	}
}

// webpH2V2 doubles a row; near is the closer row of chroma and far the other (libwebp UpsampleRgbLinePair).
func webpH2V2(dst, near, far []uint8) {
	n := len(near)
	far, dst = far[:n], dst[:2*n]
	a, c := uint(near[0]), uint(far[0])
	dst[0] = uint8((3*a + c + 2) >> 2)
	for i := 1; i < n; i++ {
		b, d := uint(near[i]), uint(far[i])
		sum := a + b + c + d + 8
		dst[2*i-1] = uint8(((sum+2*(b+c))>>3 + a) >> 1)
		dst[2*i] = uint8(((sum+2*(a+d))>>3 + b) >> 1)
		a, c = b, d
	}
	dst[2*n-1] = uint8((3*a + c + 2) >> 2)
}

// jfif holds what a chroma level adds to red, green and blue, in 65536ths for green (libjpeg build_ycc_rgb_table).
var jfif = func() (t struct{ crR, crG, cbG, cbB [256]int32 }) {
	const half = 1 << 15
	for i := range int32(256) {
		x := i - 128
		t.crR[i] = (91881*x + half) >> 16  // 1.40200
		t.cbB[i] = (116130*x + half) >> 16 // 1.77200
		t.crG[i] = -46802 * x              // 0.71414
		t.cbG[i] = -22554*x + half         // 0.34414
	}
	return t
}()

func jfifToRGB(dst, luma, cb, cr []uint8) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for i, v := range luma {
		y, u, w := int32(v), cb[i], cr[i]
		d := (*[3]uint8)(dst[3*i:])
		d[0] = clampByte(y + jfif.crR[w])
		d[1] = clampByte(y + (jfif.cbG[u]+jfif.crG[w])>>16)
		d[2] = clampByte(y + jfif.cbB[u])
	}
}

// vp8ToRGB has libwebp's constants (src/dsp/yuv.h), in 64ths after the first shift.
func vp8ToRGB(dst, luma, cb, cr []uint8) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for i, v := range luma {
		y, u, w := int32(v)*19077>>8, int32(cb[i]), int32(cr[i])
		d := (*[3]uint8)(dst[3*i:])
		d[0] = clampByte((y + w*26149>>8 - 14234) >> 6)
		d[1] = clampByte((y - u*6419>>8 - w*13320>>8 + 8708) >> 6)
		d[2] = clampByte((y + u*33050>>8 - 17685) >> 6)
	}
}

func clampByte(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
