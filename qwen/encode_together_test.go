package qwen_test

import (
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// drawnPatches are patches of pictures that differ, of so many patches each.
func drawnPatches(t testing.TB, m *qwen.Model, grids ...qwen.Grid) []*qwen.Patches {
	t.Helper()
	var all []*qwen.Patches
	for i, g := range grids {
		side := m.Processor.PatchSize()
		img := image.NewRGBA(image.Rect(0, 0, g.Width*side, g.Height*side))
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				img.Set(x, y, color.RGBA{R: uint8(x * (y + i)), G: uint8(5*x + (3+i)*y), B: uint8(x ^ y), A: 255})
			}
		}
		p, err := m.Processor.Process(t.Context(), img, qwen.Bounds{MinPixels: 1, MaxPixels: 1 << 20})
		require.NoError(t, err)
		require.Equal(t, g, qwen.Grid{Height: p.GridH, Width: p.GridW})
		all = append(all, p)
	}
	return all
}

func encodeRows(t testing.TB, v *qwen.Visual) []float32 {
	t.Helper()
	rows, deepstack, err := v.Rows()
	require.NoError(t, err)
	rows = slices.Concat(append([][]float32{rows}, deepstack...)...)
	require.NoError(t, v.Close())
	return rows
}

// An image's visual tokens are the same alone and in a call with others, whatever these are and in whatever place it stands.
func TestEncodeTogether(t *testing.T) {
	device := openDevice(t)
	for golden := range goldens {
		for name, padded := range map[string]bool{"one size": false, "padded": true} {
			if padded && golden != "qwen3_vl" && golden != "qwen2_5_vl_ragged" {
				continue
			}
			t.Run(golden+"/"+name, func(t *testing.T) {
				r := device.Runtime()
				r.ImagesTogether, r.StripeLimit, r.StripeRows, r.Workers = 4, 4096, 4096, 0
				r.ExactShapes = !padded
				m := loadModel(t, r, os.DirFS(filepath.Join("testdata", "golden", golden)))
				grids := []qwen.Grid{{Height: 8, Width: 12}, {Height: 12, Width: 8}, {Height: 8, Width: 12}, {Height: 12, Width: 8}}
				if padded {
					grids = []qwen.Grid{{Height: 8, Width: 12}, {Height: 6, Width: 10}, {Height: 8, Width: 14}, {Height: 4, Width: 6}}
				}
				if golden == "qwen2_5_vl_ragged" && !padded { // what the windows at the edges are padded by has to be the same too
					grids[1], grids[3] = grids[0], grids[0]
				}
				pages := drawnPatches(t, m, grids...)
				var alone [][]float32
				for _, p := range pages {
					most, _ := m.Together(p)
					require.Equal(t, 4, most)
					v, err := m.Encode(t.Context(), p)
					require.NoError(t, err)
					alone = append(alone, encodeRows(t, v))
				}
				require.NotEqual(t, alone[0], alone[2])
				differ := 0
				for _, order := range [][]int{{0, 1, 2, 3}, {3, 0}, {2, 1}} {
					var group []*qwen.Patches
					for _, i := range order {
						group = append(group, pages[i])
					}
					visual, err := m.EncodeTogether(t.Context(), group)
					require.NoError(t, err)
					for k, i := range order {
						require.Equal(t, pages[i].VisualTokens(), visual[k].Tokens())
						got := encodeRows(t, visual[k])
						require.InDeltaSlice(t, alone[i], got, 2e-5, "image %d of %v", i, order)
						for j := range got {
							if got[j] != alone[i][j] {
								differ++
							}
						}
					}
				}
				t.Logf("%d values are not the same to the bit", differ)
			})
		}
	}
}

// BenchmarkEncodeTogether is the vision tower on small images, one a call and several, on the checkpoint in $OMNIDOCS_BENCH_MODEL:
//
//	OMNIDOCS_BENCH_MODEL=DIR OMNIDOCS_DEVICE=xla:cpu go test ./qwen -run '^$' -bench EncodeTogether -benchtime 10x
func BenchmarkEncodeTogether(b *testing.B) {
	dir := os.Getenv("OMNIDOCS_BENCH_MODEL")
	if dir == "" {
		b.Skip("OMNIDOCS_BENCH_MODEL names no checkpoint")
	}
	device := openDevice(b)
	r := device.Runtime()
	r.ImagesTogether, r.StripeLimit = 8, max(r.StripeLimit, 8*4*256)
	m, err := qwen.Load(b.Context(), r, os.DirFS(dir), qwen.LoadOptions{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, m.Close()) })
	for _, side := range []int{8, 16, 32} {
		pages := drawnPatches(b, m, slices.Repeat([]qwen.Grid{{Height: side, Width: side}}, 8)...)
		for _, n := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("tokens=%d/images=%d", side*side/4, n), func(b *testing.B) {
				for b.Loop() {
					for from := 0; from < len(pages); from += n {
						visual, err := m.EncodeTogether(b.Context(), pages[from:from+n])
						require.NoError(b, err)
						for _, v := range visual {
							require.NoError(b, v.Close())
						}
					}
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N*len(pages)), "ms/image")
			})
		}
	}
}
