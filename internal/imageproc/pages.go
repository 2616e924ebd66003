package imageproc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
)

// Pages is what a picture file holds: one picture, or the pages of a TIFF. It keeps nothing of the file but where they
// are; the file is handed to its methods, which read what they need of it. It may be used from several goroutines.
type Pages struct {
	// Format is the file's format, such as "PNG".
	Format string

	format      format
	limits      Limits
	conf        image.Config // of a single picture
	orientation int          // of a single picture
	order       binary.ByteOrder
	dirs        []tiffPage // of a TIFF
}

// tiffPage is a TIFF's image file directory: a page.
type tiffPage struct {
	at          uint32
	orientation int
	err         error
}

const (
	// maxDirectories and maxEntries bound what a damaged or hostile TIFF may have us read: no real one comes near.
	maxDirectories = 100_000
	maxEntries     = 1024
)

// Inspect reads the header of a picture file of size bytes: how many pages it has, and how large they are. MaxBytes of
// limits does not hold for a TIFF, of which never more than a page is read.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, limits Limits) (*Pages, error) {
	limits = limits.withDefaults()
	head := make([]byte, min(size, 512))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	if len(head) == 0 {
		return nil, fmt.Errorf("%w: it has no bytes; write or download the file again", ErrEmpty)
	}
	f, err := formatOf(head)
	if err != nil {
		return nil, err
	}
	p := &Pages{Format: f.name, format: f, limits: limits}
	if f.name == "TIFF" {
		p.order = binary.BigEndian
		if head[0] == 'I' {
			p.order = binary.LittleEndian
		}
		if len(head) < 8 {
			return nil, fmt.Errorf("%w: TIFF: it has %d bytes; write or download the file again", ErrTruncated, size)
		}
		p.dirs, err = directories(ctx, r, size, p.order, p.order.Uint32(head[4:]))
		return p, err
	}
	data, err := p.readAll(ctx, r, size)
	if err != nil {
		return nil, err
	}
	p.orientation = f.orientationIn(data)
	p.conf, err = f.header(ctx, r, size, limits)
	return p, err
}

// readAll reads a file that is one picture.
func (p *Pages) readAll(ctx context.Context, r io.ReaderAt, size int64) ([]byte, error) {
	if size > p.limits.MaxBytes {
		return nil, tooManyBytes(p.limits)
	}
	data, err := io.ReadAll(&contextReader{ctx: ctx, Reader: io.NewSectionReader(r, 0, size)})
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	return data, nil
}

// Len is the number of pages.
func (p *Pages) Len() int {
	if p.dirs == nil {
		return 1
	}
	return len(p.dirs)
}

// Size is the size of page i in pixels, turned upright as [Pages.Decode] turns it.
func (p *Pages) Size(ctx context.Context, r io.ReaderAt, size int64, i int) (image.Point, error) {
	conf, orientation := p.conf, p.orientation
	if p.dirs != nil {
		dir, err := p.dirs[i], p.dirs[i].err
		if err != nil {
			return image.Point{}, err
		}
		if conf, err = p.format.header(ctx, p.page(r, i), size, p.limits); err != nil {
			return image.Point{}, err
		}
		orientation = dir.orientation
	}
	if orientation >= 5 {
		return image.Pt(conf.Height, conf.Width), nil
	}
	return image.Pt(conf.Width, conf.Height), nil
}

// Decode decodes page i, as [Decode] does.
func (p *Pages) Decode(ctx context.Context, r io.ReaderAt, size int64, i int) (image.Image, error) {
	if p.dirs == nil {
		return decode(ctx, io.NewSectionReader(r, 0, size), min(size, p.limits.MaxBytes), p.limits)
	}
	if err := p.dirs[i].err; err != nil {
		return nil, err
	}
	src := p.page(r, i)
	conf, err := p.format.header(ctx, src, size, p.limits)
	if err != nil {
		return nil, err
	}
	return p.format.pixels(ctx, src, size, conf, p.dirs[i].orientation)
}

// page is the file as if its page i were its first, which is the only one that the decoder reads.
func (p *Pages) page(r io.ReaderAt, i int) io.ReaderAt {
	const pointer = 4 // where a TIFF says where its first directory is
	patch := &patched{ReaderAt: r, at: pointer}
	p.order.PutUint32(patch.bytes[:], p.dirs[i].at)
	return patch
}

// patched is a file with four other bytes at a place.
type patched struct {
	io.ReaderAt
	at    int64
	bytes [4]byte
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, off)
	for i, v := range p.bytes {
		if at := p.at + int64(i) - off; at >= 0 && at < int64(n) {
			b[at] = v
		}
	}
	return n, err
}

// directories follows a TIFF's chain of directories. Where the chain is damaged it ends with one that has an error, so
// that the pages before are not lost and the loss is seen. Thumbnails and masks are no pages.
func directories(ctx context.Context, r io.ReaderAt, size int64, order binary.ByteOrder, first uint32) ([]tiffPage, error) {
	const (
		tagSubfile       = 254
		reducedOrMask    = 1 | 4
		countSize, pSize = 2, 4
	)
	var pages, others []tiffPage
	seen := map[uint32]bool{}
	damaged := func(format string, args ...any) ([]tiffPage, error) {
		err := fmt.Errorf("%w: TIFF: its chain of pages ends after %d: %s; write or download the file again",
			ErrCorrupt, len(pages), fmt.Sprintf(format, args...))
		if len(pages) == 0 {
			return nil, err
		}
		return append(pages, tiffPage{err: err}), nil
	}
	for at := first; at != 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if seen[at] {
			return damaged("the next is one of those before")
		}
		seen[at] = true
		if len(seen) > maxDirectories {
			return nil, fmt.Errorf("%w: TIFF: more than %d pages; split the file", ErrTooLarge, maxDirectories)
		}
		var count [countSize]byte
		if int64(at) > math.MaxUint32-countSize || readFull(r, count[:], int64(at)) != nil {
			return damaged("the next is said to be at byte %d of %d", at, size)
		}
		n := int(order.Uint16(count[:]))
		if n > maxEntries {
			return damaged("the next has %d entries, and at most %d are taken for sound", n, maxEntries)
		}
		entries := make([]byte, n*entrySize+pSize)
		if readFull(r, entries, int64(at)+countSize) != nil {
			return damaged("the next, at byte %d of %d, is cut short", at, size)
		}
		next := order.Uint32(entries[n*entrySize:])
		entries = entries[:n*entrySize]
		dir := tiffPage{at: at, orientation: directoryOrientation(order, entries)}
		if kind, _ := directoryValue(order, entries, tagSubfile); kind&reducedOrMask != 0 {
			others = append(others, dir)
		} else {
			pages = append(pages, dir)
		}
		at = next
	}
	if len(pages) == 0 { // a file of nothing but thumbnails is shown as it is
		pages = others
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%w: the TIFF has no page", ErrEmpty)
	}
	return pages, nil
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	if n, err := r.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}
