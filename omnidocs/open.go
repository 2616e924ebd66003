package omnidocs

import (
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
)

// Open opens a file by what is in it: a picture (PNG, JPEG, GIF, WebP, BMP, or TIFF with all its pages). An
// error is a [DocumentLoadError], an [UnsupportedFormatError] or a [PageRangeError].
func Open(ctx context.Context, path string, opts LoadOptions) (*Document, error) {
	return openFiles(ctx, []string{path}, opts, SourceFile)
}

// FromImage opens a picture file; see [Open]. Every page of a TIFF is a page; of an animated GIF the first frame is.
func FromImage(ctx context.Context, path string, opts LoadOptions) (*Document, error) {
	return FromImages(ctx, []string{path}, opts)
}

// FromImages makes one document of picture files, in the order given.
func FromImages(ctx context.Context, paths []string, opts LoadOptions) (*Document, error) {
	return openFiles(ctx, paths, opts, SourceImage)
}

// openFiles opens picture files. They are only inspected: none stays open.
func openFiles(ctx context.Context, paths []string, opts LoadOptions, kind SourceType) (*Document, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, &DocumentLoadError{Err: errors.New("no picture files are given")}
	}
	src := &pictures{}
	meta := DocumentMetadata{SourceType: kind}
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
	src := &pictures{}
	size, err := src.add(ctx, f, opts)
	if err != nil {
		return nil, loadError(name, err)
	}
	meta := DocumentMetadata{SourceType: SourceFile, SourcePath: name, FileName: path.Base(name), FileSize: size, Format: src.format()}
	return newDocument(name, src, meta, opts)
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
	meta.FileName, meta.FileSize = filepath.Base(name), int64(len(data))
	if meta.FileSize > opts.MaxBytes {
		return nil, loadError(name, tooManyBytes(opts.MaxBytes))
	}
	src := &pictures{}
	if _, err := src.add(ctx, inMemory(data), opts); err != nil {
		return nil, loadError(name, err)
	}
	meta.Format = src.format()
	return newDocument(name, src, meta, opts)
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
