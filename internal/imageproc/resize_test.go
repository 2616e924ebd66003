package imageproc

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
