package qwen

import (
	"fmt"
	"image"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// qwen3VL is the preprocessor_config.json of the released Qwen3-VL checkpoints.
const qwen3VL = `{"size": {"longest_edge": 16777216, "shortest_edge": 65536}, "patch_size": 16, "temporal_patch_size": 2,
	"merge_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "processor_class": "Qwen3VLProcessor",
	"image_processor_type": "Qwen2VLImageProcessorFast"}`

func loadJSON(json string) (*Processor, error) {
	return LoadProcessor(fstest.MapFS{"preprocessor_config.json": {Data: []byte(json)}})
}

// texturedPage is a page on which every row and column differs, in color.
func texturedPage(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	seed := uint32(1)
	for i := range img.Pix {
		seed = seed*1664525 + 1013904223
		img.Pix[i] = uint8(seed >> 24)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

// A page of A4 at 150 dpi, as far as the checkpoint allows (1248 x 1760) and as a document budget has it.
func BenchmarkProcess(b *testing.B) {
	p, err := loadJSON(qwen3VL)
	require.NoError(b, err)
	page := texturedPage(1240, 1754)
	for name, bounds := range map[string]Bounds{"checkpoint": {}, "document": p.DocumentBounds()} {
		b.Run(fmt.Sprintf("1240x1754/%s", name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := p.Process(b.Context(), page, bounds)
				require.NoError(b, err)
			}
		})
	}
}
