package omnidocs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"

	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/omnidocs/internal/pdf"
)

// Open opens a file by what is in it: a PDF, or a picture (PNG, JPEG, GIF, WebP, BMP, or TIFF with all its pages). An
// error is a [DocumentLoadError], an [UnsupportedFormatError] or a [PageRangeError].
func Open(ctx context.Context, path string, opts LoadOptions) (*Document, error) {
	return openFile(ctx, path, opts, false)
}

// FromPDF is [Open] for PDFs alone. What the file is called does not matter.
//
// The first PDF that a program opens waits for PDFium to be compiled, some seconds of processor time; the result is kept
// in the user's cache folder. [Start] begins with it sooner.
func FromPDF(ctx context.Context, path string, opts LoadOptions) (*Document, error) {
	return openFile(ctx, path, opts, true)
}

// Start begins to get ready for PDFs in the background, and returns at once. The first call that needs it waits for the
// rest.
func Start() { pdf.Start() }

func openFile(ctx context.Context, path string, opts LoadOptions, onlyPDF bool) (*Document, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	meta := DocumentMetadata{SourceType: SourceFile, SourcePath: absolute(path), FileName: filepath.Base(path)}
	return open(ctx, path, onDisk(path), opts, meta, onlyPDF)
}

// open opens a document by what is in it. The options have their defaults.
func open(ctx context.Context, name string, f file, opts LoadOptions, meta DocumentMetadata, onlyPDF bool) (*Document, error) {
	kind, err := withFile(f, func(r io.ReaderAt, size int64) (kind, error) { return kindOf(r, size), ctx.Err() })
	switch {
	case err != nil:
		return nil, loadError(name, err)
	case kind == kindEmpty:
		return nil, loadError(name, fmt.Errorf("%w: it has no bytes; write or download the file again", imageproc.ErrEmpty))
	case kind == kindPDF:
		src, meta, err := openPDF(ctx, f, opts, meta)
		if err != nil {
			return nil, loadError(name, err)
		}
		return newDocument(name, src, meta, opts)
	case onlyPDF:
		return nil, &UnsupportedFormatError{Source: name, Err: errors.New(`it is no PDF, which has "%PDF-" at its beginning; Open and FromImage read pictures`)}
	}
	src := &pictures{}
	if meta.FileSize, err = src.add(ctx, f, opts); err != nil {
		return nil, loadError(name, err)
	}
	meta.Format = src.format()
	return newDocument(name, src, meta, opts)
}

// kind is what is told from the beginning of a file.
type kind int

const (
	kindOther kind = iota
	kindEmpty
	kindPDF
)

// kindOf tells a PDF as its viewers do: by a mark that need not be the first thing in the file.
func kindOf(r io.ReaderAt, size int64) kind {
	if size == 0 {
		return kindEmpty
	}
	head := make([]byte, 1024)
	n, _ := r.ReadAt(head, 0) // an error shows when the file is read
	if bytes.Contains(head[:n], []byte("%PDF-")) {
		return kindPDF
	}
	return kindOther
}

// FromImage opens a picture file; see [Open]. Every page of a TIFF is a page; of an animated GIF the first frame is.
func FromImage(ctx context.Context, path string, opts LoadOptions) (*Document, error) {
	return FromImages(ctx, []string{path}, opts)
}

// FromImages makes one document of picture files, in the order given. They are only inspected: none stays open.
func FromImages(ctx context.Context, paths []string, opts LoadOptions) (*Document, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, &DocumentLoadError{Err: errors.New("no picture files are given")}
	}
	src := &pictures{}
	meta := DocumentMetadata{SourceType: SourceImage}
	for _, path := range paths {
		size, err := src.add(ctx, onDisk(path), opts)
		if err != nil {
			return nil, loadError(path, err)
		}
		meta.FileSize += size
	}
	if len(paths) > 1 {
		meta.FileName, meta.Format = fmt.Sprintf("%d_images", len(paths)), "images"
		return newDocument(meta.FileName, src, meta, opts)
	}
	meta.SourcePath, meta.FileName, meta.Format = absolute(paths[0]), filepath.Base(paths[0]), src.format()
	return newDocument(paths[0], src, meta, opts)
}

// openFS opens a file of a file system. The options have their defaults.
func openFS(ctx context.Context, fsys fs.FS, name string, opts LoadOptions) (*Document, error) {
	f, err := inFS(fsys, name, opts.MaxBytes)
	if err != nil {
		return nil, loadError(name, err)
	}
	meta := DocumentMetadata{SourceType: SourceFile, SourcePath: name, FileName: path.Base(name)}
	return open(ctx, name, f, opts, meta, false)
}

// FromReader reads a document that is not in a file; see [FromBytes].
func FromReader(ctx context.Context, r io.Reader, name string, opts LoadOptions) (*Document, error) {
	checked, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(contextReader{ctx, r}, checked.MaxBytes+1))
	if err != nil {
		return nil, &DocumentLoadError{Source: name, Err: err}
	}
	return FromBytes(ctx, data, name, opts)
}

// FromBytes opens a document that is in memory, by what is in it; see [Open]. It keeps data, which must not be changed
// until the document is closed. The name is for errors and metadata; "" is "document".
func FromBytes(ctx context.Context, data []byte, name string, opts LoadOptions) (*Document, error) {
	return fromBytes(ctx, data, name, opts, DocumentMetadata{SourceType: SourceBytes})
}

func fromBytes(ctx context.Context, data []byte, name string, opts LoadOptions, meta DocumentMetadata) (*Document, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	name = defaultTo(name, "document")
	meta.FileName = filepath.Base(name)
	if int64(len(data)) > opts.MaxBytes {
		return nil, loadError(name, tooManyBytes(opts.MaxBytes))
	}
	return open(ctx, name, inMemory(data), opts, meta, false)
}

// NewImageDocument makes a document of pictures that are decoded already. The name is for errors and metadata; "" is
// "2_images" where there are 2.
func NewImageDocument(name string, pages ...image.Image) (*Document, error) {
	opts, err := LoadOptions{CachedPages: -1}.withDefaults()
	if err != nil {
		return nil, err
	}
	name = defaultTo(name, fmt.Sprintf("%d_images", len(pages)))
	if len(pages) == 0 {
		return nil, &DocumentLoadError{Source: name, Err: errors.New("no pictures are given")}
	}
	for i, img := range pages {
		if v := reflect.ValueOf(img); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, &DocumentLoadError{Source: name, Err: fmt.Errorf("picture %d is nil", i)}
		}
		if b := img.Bounds(); b.Empty() {
			return nil, &DocumentLoadError{Source: name, Err: fmt.Errorf("picture %d has %d×%d pixels", i, b.Dx(), b.Dy())}
		}
	}
	meta := DocumentMetadata{SourceType: SourceImage, FileName: filepath.Base(name), Format: "images"}
	return newDocument(name, images(pages), meta, opts)
}

// loadError is the error of a document that could not be opened.
func loadError(name string, err error) error {
	if errors.Is(err, imageproc.ErrFormat) {
		return &UnsupportedFormatError{Source: name, Err: err}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no such file: %w", fs.ErrNotExist)
	}
	return &DocumentLoadError{Source: name, Err: pictureError(err)}
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one call, whose context this is
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
