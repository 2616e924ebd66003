package textextraction

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"iter"
	"reflect"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// LoadImage reads the image in a file: PNG, JPEG, GIF (its first frame), WebP, BMP or TIFF (its first page), told by its
// content and turned upright as its EXIF data says. A file that is not there is an error that matches
// [io/fs.ErrNotExist]; one that is no image, is damaged, or is larger than 178,956,970 pixels or 256 MiB, one that matches
// [ErrImage].
func LoadImage(ctx context.Context, path string) (image.Image, error) {
	img, err := imageproc.DecodeFile(ctx, path, imageproc.Limits{})
	switch {
	case err == nil:
		return img, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("textextraction: image not found: %s: %w", path, fs.ErrNotExist)
	}
	return nil, imageError(err)
}

// DecodeImage is [LoadImage] for an image that is not in a file.
func DecodeImage(ctx context.Context, r io.Reader) (image.Image, error) {
	img, err := imageproc.Decode(ctx, r, imageproc.Limits{})
	if err != nil {
		return nil, imageError(err)
	}
	return img, nil
}

// Images is a source of pages for [TextExtractor.Batch].
func Images(images ...image.Image) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for _, img := range images {
			if !yield(img, nil) {
				return
			}
		}
	}
}

// Files is a source of pages for [TextExtractor.Batch]: each file is read by [LoadImage] when its turn has come.
func Files(ctx context.Context, paths ...string) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for _, path := range paths {
			if !yield(LoadImage(ctx, path)) {
				return
			}
		}
	}
}

// pictureFaults are the errors that the picture is to blame for.
var pictureFaults = []error{
	imageproc.ErrEmpty, imageproc.ErrFormat, imageproc.ErrTooLarge, imageproc.ErrTruncated, imageproc.ErrCorrupt,
	imageproc.ErrUnsupported,
}

// imageError makes an error match ErrImage if the image is to blame.
func imageError(err error) error {
	for _, fault := range pictureFaults {
		if errors.Is(err, fault) {
			return fmt.Errorf("%w: %w", ErrImage, err)
		}
	}
	return fmt.Errorf("textextraction: %w", err)
}

// checkImage refuses what has no pixels.
func checkImage(img image.Image) error {
	if v := reflect.ValueOf(img); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("%w: the image is nil", ErrImage)
	}
	if b := img.Bounds(); b.Empty() {
		return fmt.Errorf("%w: it has %d×%d pixels", ErrImage, b.Dx(), b.Dy())
	}
	return nil
}
