package jobs

import (
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// fake is an extractor that says of each page which one it is, or does what the test says.
type fake struct {
	textextraction.TextExtractor // what jobs do not call

	do   func(ctx context.Context, page, attempt int) error // nil: nothing
	with func(textextraction.Options) error                 // nil: nothing

	mu       sync.Mutex
	attempts map[int]int // by page
	running  int
	most     int
}

func (f *fake) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	page := pageOf(img)
	f.mu.Lock()
	if f.attempts == nil {
		f.attempts = map[int]int{}
	}
	f.attempts[page]++
	attempt := f.attempts[page]
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if f.do != nil {
		if err := f.do(ctx, page, attempt); err != nil {
			return nil, err
		}
	}
	if f.with != nil {
		if err := f.with(opts); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("fake: %w", ctx.Err())
	}
	r := textextraction.NewExtractResult(fmt.Sprintf("# Page %d\n\nIt says <%d>.", page, page*page), opts.Format)
	r.Elements = nil // so that the tests are about what is theirs
	return r, nil
}

func (f *fake) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "fake", nil
}

// reads is how often pages were read in all.
func (f *fake) reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, a := range f.attempts {
		n += a
	}
	return n
}

// picture is page n.
func picture(n int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 8, 4))
	img.SetRGBA(3, 2, color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255})
	return img
}

// pageOf tells which page a picture is.
func pageOf(img image.Image) int {
	r, g, b, _ := img.At(img.Bounds().Min.X+3, img.Bounds().Min.Y+2).RGBA()
	return int(r>>8<<16 | g>>8<<8 | b>>8)
}

// drawn is a document of the pages given.
func drawn(t *testing.T, pages ...int) *omnidocs.Document {
	t.Helper()
	var images []image.Image
	for _, n := range pages {
		images = append(images, picture(n))
	}
	doc, err := omnidocs.NewImageDocument("drawn", images...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, doc.Close()) })
	return doc
}

// draw writes page n to a file.
func draw(t *testing.T, n int, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, picture(n)))
	require.NoError(t, f.Close())
}

// once is a Retry that does not try again, quick one that does not wait.
var (
	once  = Retry{Attempts: 1}
	quick = Retry{Initial: -1}
)

// pictures are the options of a job over the pictures of a folder.
func pictures(out string) DirectoryOptions {
	return DirectoryOptions{Options: Options{Retry: once}, Files: omnidocs.BatchOptions{Pattern: "*.png", Recursive: true}, OutputDir: out}
}

// files are the contents of all files below a folder, but the job's own.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == stateDir {
				return filepath.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(data)
		return err
	}))
	return all
}

// drawTIFF writes pages to one file.
func drawTIFF(t *testing.T, path string, pages ...int) {
	t.Helper()
	const width, height = 8, 4
	out := []byte("II*\x00")
	out = binary.LittleEndian.AppendUint32(out, 8)
	for i, n := range pages {
		strip := len(out) + 2 + 10*12 + 4
		bits := strip + 3*width*height
		tags := [][3]int{ // tag, type (3: short, 4: long), value
			{256, 4, width}, {257, 4, height}, {258, 3, bits}, {259, 3, 1}, {262, 3, 2}, {273, 4, strip}, {277, 3, 3}, {278, 4, height},
			{279, 4, 3 * width * height}, {284, 3, 1},
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(len(tags)))
		for _, tag := range tags {
			out = binary.LittleEndian.AppendUint16(out, uint16(tag[0]))
			out = binary.LittleEndian.AppendUint16(out, uint16(tag[1]))
			count := 1
			if tag[0] == 258 {
				count = 3
			}
			out = binary.LittleEndian.AppendUint32(out, uint32(count))
			out = binary.LittleEndian.AppendUint32(out, uint32(tag[2]))
		}
		next := bits + 6
		if i == len(pages)-1 {
			next = 0
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(next))
		for y := range height {
			for x := range width {
				r, g, b, _ := picture(n).At(x, y).RGBA()
				out = append(out, byte(r>>8), byte(g>>8), byte(b>>8))
			}
		}
		out = append(out, 8, 0, 8, 0, 8, 0)
	}
	require.NoError(t, os.WriteFile(path, out, 0o600))
}
