package checkpoint

import "context"

const (
	// A worker reads tileRows rows at a time, as many columns of them as
	// tileBytes hold, so that each column ends in memory as one run of
	// tileRows elements.
	tileRows  = 256
	tileBytes = 2 << 20
	// Inside, stripCols columns at a time go through an array that the L1
	// cache holds: reading whole columns would visit addresses that are a
	// power of two apart, which fall into the same cache set.
	stripCols = 32
)

// transpose reads the matrix t, [rows, cols], into dst, [cols, rows].
func transpose[T uint16 | float32](ctx context.Context, s *shard, t Tensor, dst []T, convert func(dst []T, src []byte)) error {
	rows, cols := t.Shape[0], t.Shape[1]
	width := t.DType.Bits() / 8
	tileCols := min(cols, tileBytes/tileRows/width)
	across := ceilDiv(cols, tileCols)
	return s.parallel(ctx, ceilDiv(rows, tileRows)*across, tileRows*tileCols*width, func(buf []byte, i int) error {
		tile := tile{
			row: i / across * tileRows,
			col: i % across * tileCols,
		}
		tile.rows = min(tileRows, rows-tile.row)
		tile.cols = min(tileCols, cols-tile.col)
		if err := tile.read(s, t, buf); err != nil {
			return err
		}
		storeTransposed(dst, rows, tile, buf, width, convert)
		return nil
	})
}

// tile is a part of a matrix: where it begins and how large it is.
type tile struct{ row, col, rows, cols int }

// read fills buf with the tile, [rows, cols].
func (p tile) read(s *shard, t Tensor, buf []byte) error {
	cols := t.Shape[1]
	width := t.DType.Bits() / 8
	at := func(row int) int64 {
		return t.Offset + (int64(p.row+row)*int64(cols)+int64(p.col))*int64(width)
	}
	line := p.cols * width
	if p.cols == cols { // whole rows lie one after the other
		return readFullAt(s, buf[:p.rows*line], at(0))
	}
	for row := range p.rows {
		if err := readFullAt(s, buf[row*line:(row+1)*line], at(row)); err != nil {
			return err
		}
	}
	return nil
}

// storeTransposed converts the tile in buf and stores it in dst, whose rows
// have stride elements.
func storeTransposed[T uint16 | float32](dst []T, stride int, p tile, buf []byte, width int, convert func(dst []T, src []byte)) {
	var strip [tileRows][stripCols]T
	line := p.cols * width
	for col := 0; col < p.cols; col += stripCols {
		cols := min(stripCols, p.cols-col)
		for r := range p.rows {
			convert(strip[r][:cols], buf[r*line+col*width:])
		}
		out := dst[(p.col+col)*stride+p.row:]
		c := 0
		for ; c+4 <= cols; c += 4 {
			storeColumns(out[c*stride:], stride, strip[:p.rows], c)
		}
		for ; c < cols; c++ {
			for r := range p.rows {
				out[c*stride+r] = strip[r][c]
			}
		}
	}
}

// storeColumns stores columns c to c+3 of strip as rows of dst. Four at once
// share the work of finding a row.
func storeColumns[T uint16 | float32](dst []T, stride int, strip [][stripCols]T, c int) {
	n := len(strip)
	d0, d1, d2, d3 := dst[:n], dst[stride:][:n], dst[2*stride:][:n], dst[3*stride:][:n]
	for r := range strip {
		s := strip[r][c : c+4 : c+4]
		d0[r], d1[r], d2[r], d3[r] = s[0], s[1], s[2], s[3]
	}
}
