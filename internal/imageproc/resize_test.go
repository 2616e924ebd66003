package imageproc

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func readRGB(t testing.TB, name string) *RGB {
	t.Helper()
	img, err := DecodeFile(t.Context(), filepath.Join("testdata", name), Limits{})
	require.NoError(t, err)
	p, err := ToRGB(t.Context(), img)
	require.NoError(t, err)
	return p
}

// worst returns the largest difference of two rasters, and how many samples differ.
func worst(a, b *RGB) (largest, count int) {
	for i, v := range a.Pix {
		if d := int(v) - int(b.Pix[i]); d != 0 {
			count++
			largest = max(largest, d, -d)
		}
	}
	return largest, count
}

// Sizes from 1 pixel to thousands, enlarged, reduced up to 300-fold, one side only: torchvision's result to the byte.
func TestResizeOfNoiseEqualsTorchvision(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "resize_crc.json"))
	require.NoError(t, err)
	var rows [][5]uint32
	require.NoError(t, json.Unmarshal(data, &rows))
	require.Greater(t, len(rows), 60)
	for _, row := range rows {
		h, w, toH, toW := int(row[0]), int(row[1]), int(row[2]), int(row[3])
		t.Run(fmt.Sprintf("%dx%d to %dx%d", w, h, toW, toH), func(t *testing.T) {
			src := NewRGB(w, h)
			texture(src.Pix)
			got, err := Resize(t.Context(), src, toW, toH)
			require.NoError(t, err)
			require.Equal(t, row[4], crc32.ChecksumIEEE(got.Pix))
		})
	}
}

func TestResizeToTheSameSize(t *testing.T) {
	src := NewRGB(5, 4)
	texture(src.Pix)
	got, err := Resize(t.Context(), src, 5, 4)
	require.NoError(t, err)
	require.Same(t, src, got)
}

func TestResizeRefusesEmpty(t *testing.T) {
	for _, c := range [][4]int{{5, 4, 0, 4}, {5, 4, 4, -1}, {0, 4, 4, 4}} {
		_, err := Resize(t.Context(), NewRGB(c[0], c[1]), c[2], c[3])
		require.ErrorIs(t, err, ErrEmpty)
	}
}

// However the rows are shared out, the result is the same.
func TestResizeOnManyProcessors(t *testing.T) {
	src := NewRGB(301, 407)
	texture(src.Pix)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, err := Resize(t.Context(), src, 320, 416)
	require.NoError(t, err)
	runtime.GOMAXPROCS(7)
	seven, err := Resize(t.Context(), src, 320, 416)
	require.NoError(t, err)
	require.Equal(t, one, seven)
}

// The expected files are torchvision 0.28's, so this also holds the kernel's a, the antialiasing, the order of the two
// passes and the rounding between them.
func TestResizeEqualsTorchvision(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "resize.json"))
	require.NoError(t, err)
	var rows [][3]int
	require.NoError(t, json.Unmarshal(data, &rows))
	for _, row := range rows {
		t.Run(fmt.Sprintf("%d to %dx%d", row[0], row[2], row[1]), func(t *testing.T) {
			want := readRGB(t, fmt.Sprintf("resize_%d_out.png", row[0]))
			got, err := Resize(t.Context(), readRGB(t, fmt.Sprintf("resize_%d_in.png", row[0])), row[2], row[1])
			require.NoError(t, err)
			require.Equal(t, []int{want.W, want.H}, []int{got.W, got.H})
			largest, count := worst(got, want)
			require.Zero(t, largest, "%d of %d samples differ, by up to %d", count, len(want.Pix), largest)
		})
	}
}

// Pillow's and torch's kernel has a = -0.5; OpenCV's -0.75 would give 0.59375 and -0.09375 here.
func TestCubicKernel(t *testing.T) {
	for x, want := range map[float64]float64{0: 1, 0.5: 0.5625, -0.5: 0.5625, 1: 0, 1.5: -0.0625, 2: 0, 9: 0} {
		require.InDelta(t, want, cubic(x), 1e-15, "%v", x)
	}
}
