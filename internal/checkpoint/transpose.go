package checkpoint

import "context"

const (
	// A worker reads tileRows rows at a time, as many columns of them as
	// tileBytes hold, so that each column ends in memory as one run of
	// tileRows elements.
	tileRows  = 128
	tileBytes = 2 << 20
	// Inside, blocks of blockSide × blockSide elements go through an array
	// that the L1 cache holds: reading whole columns would visit addresses
	// that are a power of two apart, which fall into the same cache set.
	blockSide = 32
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
	var block [blockSide][blockSide]T
	line := p.cols * width
	for col := 0; col < p.cols; col += blockSide {
		cols := min(blockSide, p.cols-col)
		for row := 0; row < p.rows; row += blockSide {
			rows := min(blockSide, p.rows-row)
			for r := range rows {
				convert(block[r][:cols], buf[(row+r)*line+col*width:])
			}
			for c := range cols {
				at := (p.col+col+c)*stride + p.row + row
				out := dst[at : at+rows]
				for r := range out {
					out[r] = block[r&(blockSide-1)][c]
				}
			}
		}
	}
}
