package imageproc

import (
	"context"
	"image"
	"math"
	"slices"
)

// The constants of HasInk. They are chosen so that what is doubtful counts as ink: a blank page that is read costs time, a page
// that is not read costs its text.
const (
	inkArea     = 1_500_000 // pixels that a page is averaged down to, about 130 dpi for A4
	inkTile     = 32        // the side of a tile of the background, in those pixels: larger than letters
	inkSigmas   = 3.5       // how far from the background ink is, in standard deviations of the noise, but
	minContrast = 8         // at least so many steps of 255, and
	maxContrast = 40        // no more than so many
	maxNoise    = 12        // above this, a page is textured, and nothing can be told of it
	minMark     = 8         // pixels that hang together: a figure 1 of 8 points has as many, dust and noise have less
	minInk      = 10        // pixels of all marks together
	edgeBand    = 12        // the dark edge of a scan is within 1/12 of the page's side
	edgeDepth   = 96        // and darker, or on a dark page lighter, by so much
)

// HasInk tells whether there is anything on a page: marks that differ from the paper around them. It is false only for pages that
// are blank but for noise, dust, slow changes of light and the dark edges of a scan, whatever the color of the paper. One small
// line or page number is ink: 10 pixels do, of a page of 1.5 million, in marks of at least 8.
//
// The page is averaged down to some 1.5 megapixels of brightness. The paper at a place is the median of the 32 × 32 pixels around it,
// interpolated; the dark edges of a scan are no paper and no ink; a pixel is ink if it differs from that by more than 3.5 standard deviations of the noise, which are estimated
// from the median of all differences, and by no less than 8 of 255 steps. It fails as ToRGB does.
func HasInk(ctx context.Context, img image.Image) (bool, error) {
	rgb, err := ToRGB(ctx, img)
	if err != nil {
		return false, err
	}
	g, err := averaged(ctx, rgb)
	if err != nil {
		return false, err
	}
	if g.isWritten() {
		return true, nil
	}
	edges := g.edges()
	marks, noise := g.differences(edges)
	if noise > maxNoise {
		return true, nil
	}
	threshold := float32(min(max(inkSigmas*noise, minContrast), maxContrast))
	ink := make([]bool, len(marks))
	for i, d := range marks {
		ink[i] = (d > threshold || d < -threshold) && !edges[i]
	}
	return countMarks(ink, g.w) >= minInk, ctx.Err()
}

// gray is a page's brightness.
type gray struct {
	pix  []uint8 // [h, w]
	w, h int
}

// averaged is the brightness of squares of pixels. What is left over at the right and the bottom is cut off; it is less than a
// square, that is less than a thousandth of the side.
func averaged(ctx context.Context, p *RGB) (gray, error) {
	k := max(1, int(math.Round(math.Sqrt(float64(p.W)*float64(p.H)/inkArea))))
	k = min(k, p.W, p.H)
	g := gray{w: p.W / k, h: p.H / k}
	g.pix = make([]uint8, g.w*g.h)
	err := ParallelRows(ctx, g.h, 3*k*p.W, func(lo, hi int) {
		sums := make([]int, g.w)
		for y := lo; y < hi; y++ {
			clear(sums)
			for dy := range k {
				row := p.row(y*k + dy)
				for x := range sums {
					s := row[3*k*x : 3*k*(x+1)]
					for i := 0; i < len(s); i += 3 {
						sums[x] += 2*int(s[i]) + 5*int(s[i+1]) + int(s[i+2])
					}
				}
			}
			for x, sum := range sums {
				g.pix[y*g.w+x] = uint8(sum / (8 * k * k))
			}
		}
	})
	return g, err
}

// isWritten tells at a glance that a page has ink: at least 1/500 of its pixels, away from the border, is far from the paper. It
// saves most pages the closer look.
func (g gray) isWritten() bool {
	paper, inner := int(g.median(image.Rect(0, 0, g.w, g.h), nil)), image.Rect(g.w/edgeBand, g.h/edgeBand, g.w-g.w/edgeBand, g.h-g.h/edgeBand)
	far := 0
	for y := inner.Min.Y; y < inner.Max.Y; y++ {
		for _, v := range g.pix[y*g.w+inner.Min.X : y*g.w+inner.Max.X] {
			if d := int(v) - paper; d > edgeDepth || d < -edgeDepth {
				far++
			}
		}
	}
	return far > max(minInk, len(g.pix)/500)
}

// differences returns how far each pixel is from the paper around it, and the standard deviation of the noise.
func (g gray) differences(edges []bool) (diffs []float32, noise float64) {
	tw, th := (g.w+inkTile-1)/inkTile, (g.h+inkTile-1)/inkTile
	tiles := make([]float32, tw*th)
	for ty := range th {
		for tx := range tw {
			tiles[ty*tw+tx] = g.median(image.Rect(tx*inkTile, ty*inkTile, (tx+1)*inkTile, (ty+1)*inkTile), edges)
		}
	}
	tiles = medians(tiles, tw, th, g.median(image.Rect(0, 0, g.w, g.h), edges)) // a letter may fill a tile, but not those around it
	diffs = make([]float32, len(g.pix))
	var counts [512]int // of differences in halves
	at := func(v, n int) (int, float32) {
		f := (float32(v)+0.5)/inkTile - 0.5
		i := min(max(int(math.Floor(float64(f))), 0), max(n-2, 0))
		return i, min(max(f-float32(i), 0), 1)
	}
	for y := range g.h {
		ty, fy := at(y, th)
		below := min(ty+1, th-1)
		for x := range g.w {
			tx, fx := at(x, tw)
			right := min(tx+1, tw-1)
			top := tiles[ty*tw+tx]*(1-fx) + tiles[ty*tw+right]*fx
			bottom := tiles[below*tw+tx]*(1-fx) + tiles[below*tw+right]*fx
			d := float32(g.pix[y*g.w+x]) - (top*(1-fy) + bottom*fy)
			diffs[y*g.w+x] = d
			counts[min(int(2*math.Abs(float64(d))), len(counts)-1)]++
		}
	}
	half := len(diffs) / 2
	for v, n := range counts {
		if half -= n; half < 0 {
			return diffs, 1.4826 * (float64(v) + 0.5) / 2 // the median of a normal distribution's distances, in its deviations
		}
	}
	return diffs, 0
}

// median is the median of the pixels in a rectangle, as far as it is on the page and not among those left out. It is -1 if
// hardly any are left.
func (g gray) median(r image.Rectangle, out []bool) float32 {
	r = r.Intersect(image.Rect(0, 0, g.w, g.h))
	var counts [256]int
	n := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for i := y*g.w + r.Min.X; i < y*g.w+r.Max.X; i++ {
			if out == nil || !out[i] {
				counts[g.pix[i]]++
				n++
			}
		}
	}
	if n < r.Dx()*r.Dy()/4 {
		return -1
	}
	half := n / 2
	for v, n := range counts {
		if half -= n; half < 0 {
			return float32(v)
		}
	}
	return 255
}

// medians replaces each value by the median of it and those around it. Values that are -1 do not count; where there are no others
// it is the one that is given.
func medians(values []float32, w, h int, otherwise float32) []float32 {
	out := make([]float32, len(values))
	around := make([]float32, 0, 9)
	for y := range h {
		for x := range w {
			around = around[:0]
			for j := max(y-1, 0); j <= min(y+1, h-1); j++ {
				for _, v := range values[j*w+max(x-1, 0) : j*w+min(x+1, w-1)+1] {
					if v >= 0 {
						around = append(around, v)
					}
				}
			}
			out[y*w+x] = otherwise
			if len(around) > 0 {
				slices.Sort(around)
				out[y*w+x] = around[len(around)/2]
			}
		}
	}
	return out
}

// edges are the dark edges of a scan: what hangs together with the border of the image and is far from the paper, in a band along
// the border, and the blur around it.
func (g gray) edges() []bool {
	edges := make([]bool, len(g.pix))
	paper := int(g.median(image.Rect(0, 0, g.w, g.h), nil))
	bandX, bandY := g.w/edgeBand, g.h/edgeBand
	seen := make([]bool, len(g.pix))
	var todo []int
	visit := func(x, y int) {
		i := y*g.w + x
		d := int(g.pix[i]) - paper
		inBand := x < bandX || y < bandY || x >= g.w-bandX || y >= g.h-bandY
		if !seen[i] && inBand && (d > edgeDepth || d < -edgeDepth) {
			seen[i] = true
			todo = append(todo, i)
		}
	}
	for x := range g.w {
		visit(x, 0)
		visit(x, g.h-1)
	}
	for y := range g.h {
		visit(0, y)
		visit(g.w-1, y)
	}
	const blur = 3
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		x, y := at%g.w, at/g.w
		for j := max(y-blur, 0); j <= min(y+blur, g.h-1); j++ {
			for i := max(x-blur, 0); i <= min(x+blur, g.w-1); i++ {
				edges[j*g.w+i] = true
			}
		}
		for j := max(y-1, 0); j <= min(y+1, g.h-1); j++ {
			for i := max(x-1, 0); i <= min(x+1, g.w-1); i++ {
				visit(i, j)
			}
		}
	}
	return edges
}

// countMarks counts the pixels of ink that hang together in marks of at least minMark. It takes them out of ink.
func countMarks(ink []bool, w int) (total int) {
	h := len(ink) / w
	var todo []int
	for start, isInk := range ink {
		if !isInk {
			continue
		}
		size := 0
		todo = append(todo[:0], start)
		ink[start] = false
		for len(todo) > 0 {
			at := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			size++
			x, y := at%w, at/w
			for j := max(y-1, 0); j <= min(y+1, h-1); j++ {
				for i := max(x-1, 0); i <= min(x+1, w-1); i++ {
					if next := j*w + i; ink[next] {
						ink[next] = false
						todo = append(todo, next)
					}
				}
			}
		}
		if size >= minMark {
			total += size
		}
	}
	return total
}
