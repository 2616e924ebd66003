package imageproc

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Noise, enlarged and reduced up to 300-fold, one side only: Pillow's result to the byte.
func TestResizeOfNoiseEqualsPillow(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "pillow_crc.json"))
	require.NoError(t, err)
	var rows [][6]uint32
	require.NoError(t, json.Unmarshal(data, &rows))
	require.Greater(t, len(rows), 60)
	for _, row := range rows {
		h, w, toH, toW, filter := int(row[0]), int(row[1]), int(row[2]), int(row[3]), Filter(row[4])
		t.Run(fmt.Sprintf("%dx%d to %dx%d by %d", w, h, toW, toH, filter), func(t *testing.T) {
			src := NewRGB(w, h)
			texture(src.Pix)
			got, err := ResizePillow(t.Context(), src, toW, toH, filter)
			require.NoError(t, err)
			require.Equal(t, row[5], crc32.ChecksumIEEE(got.Pix))
		})
	}
}

func TestResizePillowErrors(t *testing.T) {
	_, err := ResizePillow(t.Context(), NewRGB(2, 2), 0, 5, Lanczos)
	require.ErrorIs(t, err, ErrEmpty)
	same := NewRGB(2, 2)
	got, err := ResizePillow(t.Context(), same, 2, 2, Lanczos)
	require.NoError(t, err)
	require.Same(t, same, got)
}
