package imageproc

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Resize scales src to w by h pixels with a bicubic filter (a = -0.5) and antialiasing, as
// torchvision.transforms.v2.functional.resize(…, BICUBIC, antialias=True) does it to a uint8 tensor on a CPU: first along
// the rows, then along the columns, with 16-bit weights, and rounded to 8 bits after each. It is equal to it byte for
// byte; a resize in floating point, or one that rounds once, is not. When nothing is to be done, src itself comes back.
// It fails if a size is less than 1, or when ctx is canceled.
func Resize(ctx context.Context, src *RGB, w, h int) (*RGB, error) {
	return resize(ctx, src, w, h, torchCubic)
}

func resize(ctx context.Context, src *RGB, w, h int, kern kernel) (*RGB, error) {
	if w < 1 || h < 1 || src.W < 1 || src.H < 1 {
		return nil, fmt.Errorf("%w: cannot resize %d x %d pixels to %d x %d", ErrEmpty, src.W, src.H, w, h)
	}
	if w == src.W && h == src.H {
		return src, nil
	}
	r := resizer{src: src, dst: NewRGB(w, h)}
	if w != src.W {
		r.across = newTaps(src.W, w, kern)
	}
	if h == src.H { // one pass only: a filter between equal sizes is the identity
		err := ParallelRows(ctx, h, 3*src.W, func(lo, hi int) {
			var s scratch
			for y := lo; y < hi; y += 2 {
				other := min(y+1, hi-1)
				r.acrossPair(&s, y, other, r.dst.row(y), r.dst.row(other))
			}
		})
		return r.result(err)
	}
	r.down = newTaps(src.H, h, kern)
	return r.result(ParallelRows(ctx, h, 3*src.W*(src.H/h+1), r.block))
}

type resizer struct {
	src, dst     *RGB
	across, down taps
}

func (r *resizer) result(err error) (*RGB, error) {
	if err != nil {
		return nil, err
	}
	return r.dst, nil
}

// lanes keeps two samples in one uint64, 32 bits apart, so that one multiplication by a weight serves both. The sums are
// offset by zero so that no lane is ever negative and none borrows from its neighbor: sums lie within ±2 * 255 units, and with at most 22 fractional bits 10 are left for them.
const (
	lanes    = 0x000000ff_000000ff
	twoLanes = 1 | 1<<32
	zero     = 512 // in units of a sample
)

// clamp gives the sample for a sum in units, offset by zero.
var clamp = func() (t [1024]uint8) {
	for i := range t {
		t[i] = uint8(min(max(i-zero, 0), 255))
	}
	return t
}()

// bias is what a sum begins with in both lanes: zero, and a half to round.
func (t taps) bias() uint64 { return (zero<<t.shift + 1<<t.shift>>1) * twoLanes }

// scratch is a worker's memory.
type scratch struct {
	pair []uint64  // a pair of source rows, a sample of each in one word
	ring [][]uint8 // source rows after the first pass, at their number modulo the ring's length
	rows [][]uint8
	out  []uint8
}

// block makes the output rows [lo, hi). It keeps only the rows that the filter needs, in a ring small enough for the
// processor's cache.
func (r *resizer) block(lo, hi int) {
	const word = 8
	width := (3*r.dst.W + word - 1) / word * word
	s := scratch{out: make([]uint8, width), ring: make([][]uint8, r.down.longest+1)}
	pix := make([]uint8, width*len(s.ring))
	for i := range s.ring {
		s.ring[i] = pix[width*i:][:width:width]
	}
	have := r.down.first[lo] // the source rows before this one are done
	for y := lo; y < hi; y++ {
		first, weights := r.down.first[y], r.down.weights[y]
		for have = max(have, first); have < first+len(weights); have += 2 {
			other := min(have+1, r.src.H-1) // may be one too many: the ring has room for it
			r.acrossPair(&s, have, other, s.ring[have%len(s.ring)], s.ring[other%len(s.ring)])
		}
		s.rows = s.rows[:0]
		for k := range weights {
			s.rows = append(s.rows, s.ring[(first+k)%len(s.ring)])
		}
		sumRows(s.out, s.rows, weights, r.down)
		copy(r.dst.row(y), s.out)
	}
}

// acrossPair filters the source rows y0 and y1 into d0 and d1, which are at least as long as an output row.
func (r *resizer) acrossPair(s *scratch, y0, y1 int, d0, d1 []uint8) {
	a, b := r.src.row(y0), r.src.row(y1)
	if r.across.first == nil {
		copy(d0, a)
		copy(d1, b)
		return
	}
	if s.pair == nil {
		s.pair = make([]uint64, len(a))
	}
	pair := s.pair
	for i := range pair {
		pair[i] = uint64(a[i]) | uint64(b[i])<<32
	}
	low, high, bias := r.across.shift&63, (r.across.shift+32)&63, r.across.bias()
	for x, first := range r.across.first {
		weights := r.across.weights[x]
		red, green, blue := bias, bias, bias
		src := pair[3*first:]
		for ; len(weights) >= 4; weights = weights[4:] { // four at a time: all of them, where a picture is enlarged
			v, w := (*[12]uint64)(src), (*[4]int32)(weights)
			a, b, c, d := uint64(int64(w[0])), uint64(int64(w[1])), uint64(int64(w[2])), uint64(int64(w[3]))
			red += v[0]*a + v[3]*b + v[6]*c + v[9]*d
			green += v[1]*a + v[4]*b + v[7]*c + v[10]*d
			blue += v[2]*a + v[5]*b + v[8]*c + v[11]*d
			src = src[12:]
		}
		for _, weight := range weights {
			v, w := (*[3]uint64)(src), uint64(int64(weight))
			red += v[0] * w
			green += v[1] * w
			blue += v[2] * w
			src = src[3:]
		}
		p, q := (*[3]uint8)(d0[3*x:]), (*[3]uint8)(d1[3*x:])
		p[0], q[0] = clamp[red>>low&1023], clamp[red>>high&1023]
		p[1], q[1] = clamp[green>>low&1023], clamp[green>>high&1023]
		p[2], q[2] = clamp[blue>>low&1023], clamp[blue>>high&1023]
	}
}

// sumRows writes the weighted sum of rows. All have a length that is a multiple of 8.
func sumRows(dst []uint8, rows [][]uint8, weights []int32, t taps) {
	low, high, bias := t.shift&63, (t.shift+32)&63, t.bias()
	weights = weights[:len(rows)]
	for x := 0; x+8 <= len(dst); x += 8 {
		s04, s15, s26, s37 := bias, bias, bias, bias
		for k, row := range rows {
			v, w := binary.LittleEndian.Uint64(row[x:]), uint64(int64(weights[k]))
			s04 += v & lanes * w
			s15 += v >> 8 & lanes * w
			s26 += v >> 16 & lanes * w
			s37 += v >> 24 & lanes * w
		}
		d := (*[8]uint8)(dst[x:])
		d[0], d[4] = clamp[s04>>low&1023], clamp[s04>>high&1023]
		d[1], d[5] = clamp[s15>>low&1023], clamp[s15>>high&1023]
		d[2], d[6] = clamp[s26>>low&1023], clamp[s26>>high&1023]
		d[3], d[7] = clamp[s37>>low&1023], clamp[s37>>high&1023]
	}
}
