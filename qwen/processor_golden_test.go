package qwen

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// expectedTensor reads one tensor of a case's expected.safetensors as raw bytes. It is its own reader so that these tests
// stand without the loading of checkpoints.
func expectedTensor(t testing.TB, dir, name string) (shape []int, data []byte) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "expected.safetensors"))
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(file)
	var header map[string]struct {
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	require.NoError(t, json.Unmarshal(file[8:8+n], &header))
	tensor, ok := header[name]
	require.True(t, ok, "%s has no %s", dir, name)
	return tensor.Shape, file[8+n:][tensor.Offsets[0]:tensor.Offsets[1]]
}

func openImage(t testing.TB, path string) image.Image {
	t.Helper()
	img, err := imageproc.DecodeFile(t.Context(), path, imageproc.Limits{})
	require.NoError(t, err)
	return img
}

// Pixel values and grids of every case are transformers', with the torchvision backend, to the last bit.
func TestProcessEqualsTransformers(t *testing.T) {
	cases, err := filepath.Glob("testdata/golden/*/expected.safetensors")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			p, err := LoadProcessor(os.DirFS(dir))
			require.NoError(t, err)
			gridShape, gridData := expectedTensor(t, dir, "image_grid_thw")
			shape, want := expectedTensor(t, dir, "pixel_values")
			patches := 0
			for i := range gridShape[0] {
				got, err := p.Process(t.Context(), openImage(t, filepath.Join(dir, fmt.Sprintf("image_%d.png", i))), Bounds{})
				require.NoError(t, err)
				for j, v := range got.Grid() {
					require.EqualValues(t, v, binary.LittleEndian.Uint32(gridData[4*(3*i+j):]), "image_grid_thw[%d][%d]", i, j)
				}
				require.Len(t, got.Pixels, got.GridH*got.GridW*shape[1])
				patches += got.GridH * got.GridW
				sum, largest := 0.0, 0.0
				for _, v := range got.Pixels {
					d := math.Abs(float64(v - math.Float32frombits(binary.LittleEndian.Uint32(want))))
					sum, largest, want = sum+d, max(largest, d), want[4:]
				}
				t.Logf("image %d: %d values, error at most %.2g, mean %.2g", i, len(got.Pixels), largest, sum/float64(len(got.Pixels)))
				require.Zero(t, largest)
			}
			require.Equal(t, shape[0], patches)
			require.Empty(t, want)
		})
	}
}
