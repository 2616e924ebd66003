package qwen

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// Whole pages and odd settings: transformers' pixel values, to the last bit.
func TestProcessEqualsTransformersOnNoise(t *testing.T) {
	data, err := os.ReadFile("testdata/processor/pixel_values.json")
	require.NoError(t, err)
	var rows []struct {
		Width, Height int
		Config        json.RawMessage
		Grid          [3]int
		CRC           uint32
	}
	require.NoError(t, json.Unmarshal(data, &rows))
	require.Len(t, rows, 10)
	for _, row := range rows {
		t.Run(fmt.Sprintf("%dx%d %s", row.Width, row.Height, row.Config), func(t *testing.T) {
			var img image.Image
			var p *Processor
			if row.Width > 0 {
				img = texturedPage(row.Width, row.Height)
				p, err = loadJSON(string(row.Config))
			} else {
				img = openImage(t, "testdata/processor/qwen2_vl/image_0.png")
				p, err = LoadProcessor(os.DirFS("testdata/processor/qwen2_vl"))
			}
			require.NoError(t, err)
			got, err := p.Process(t.Context(), img, Bounds{})
			require.NoError(t, err)
			require.Equal(t, row.Grid, got.Grid())
			require.Len(t, got.Pixels, got.GridH*got.GridW*p.PatchDim())
			raw, err := binary.Append(nil, binary.LittleEndian, got.Pixels)
			require.NoError(t, err)
			require.Equal(t, row.CRC, crc32.ChecksumIEEE(raw))
		})
	}
}

// tiny takes pictures as they are: one level of a sample is one value.
const tiny = `{"patch_size": 2, "merge_size": 2, "temporal_patch_size": 2, "do_rescale": false, "do_normalize": false,
	"min_pixels": 16, "max_pixels": 4096}`

func TestPatchOrder(t *testing.T) {
	p, err := loadJSON(tiny)
	require.NoError(t, err)
	img := imageproc.NewRGB(8, 4) // two merged squares side by side
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	got, err := p.Process(t.Context(), img, Bounds{})
	require.NoError(t, err)
	require.Equal(t, [3]int{1, 2, 4}, got.Grid())
	require.Equal(t, 2, got.VisualTokens())
	dim := p.PatchDim()
	require.Equal(t, 24, dim)
	// A patch is channel first, then the picture twice, then row, column.
	require.Equal(t, []float32{0, 3, 24, 27, 0, 3, 24, 27, 1, 4, 25, 28, 1, 4, 25, 28, 2, 5, 26, 29, 2, 5, 26, 29}, got.Pixels[:dim])
	// The four patches of a merged square stand together, before the next square's.
	var first []float32
	for i := range 8 {
		first = append(first, got.Pixels[i*dim])
	}
	at := func(x, y int) float32 { return float32(3 * (8*y + x)) }
	require.Equal(t, []float32{at(0, 0), at(2, 0), at(0, 2), at(2, 2), at(4, 0), at(6, 0), at(4, 2), at(6, 2)}, first)
}

func TestResizedPictureHas8Bits(t *testing.T) {
	p, err := loadJSON(tiny)
	require.NoError(t, err)
	got, err := p.Process(t.Context(), texturedPage(37, 23), Bounds{})
	require.NoError(t, err)
	require.NotEqual(t, 37, got.Width)
	for _, v := range got.Pixels {
		require.Equal(t, float32(uint8(v)), v, "the resize must round to whole levels from 0 to 255")
	}
}

func TestMeanAndStdComeFromTheFile(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 64, 64)) // black
	for _, c := range []struct {
		json string
		want float32
	}{
		{qwen3VL, -1},
		{`{"image_mean": [0.25, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`, -0.5},
		{`{"image_mean": 0.5, "image_std": 0.25}`, -2},
		{`{}`, -0.48145466 / 0.26862954},
	} {
		p, err := loadJSON(c.json)
		require.NoError(t, err)
		got, err := p.Process(t.Context(), img, Bounds{})
		require.NoError(t, err)
		require.InDelta(t, c.want, got.Pixels[0], 1e-6, c.json)
	}
}

func TestAlphaIsLaidOverWhite(t *testing.T) {
	p, err := loadJSON(tiny)
	require.NoError(t, err)
	got, err := p.Process(t.Context(), image.NewNRGBA(image.Rect(0, 0, 8, 8)), Bounds{})
	require.NoError(t, err)
	require.Equal(t, float32(255), got.Pixels[0])
}

func TestLoadProcessor(t *testing.T) {
	p, err := loadJSON(qwen3VL)
	require.NoError(t, err)
	require.Equal(t, []int{16, 2, 2, 32, 1536}, []int{p.PatchSize(), p.MergeSize(), p.TemporalPatchSize(), p.Factor(), p.PatchDim()})
	require.Equal(t, Bounds{65536, 16777216}, p.Bounds())

	for name, c := range map[string]struct {
		json   string
		bounds Bounds
	}{
		"class defaults":              {`{}`, Bounds{3136, 1003520}},
		"plain keys":                  {`{"min_pixels": 4000, "max_pixels": 12845056}`, Bounds{4000, 12845056}},
		"plain keys win":              {`{"min_pixels": 4000, "size": {"shortest_edge": 5000, "longest_edge": 6000}}`, Bounds{4000, 6000}},
		"plain keys within size":      {`{"size": {"min_pixels": 5000, "max_pixels": 6000}}`, Bounds{5000, 6000}},
		"nulls are absent":            {`{"min_pixels": null, "patch_size": null, "size": {"height": null, "shortest_edge": 5000}}`, Bounds{5000, 1003520}},
		"unknown keys pass":           {`{"processor_class": "X", "do_center_crop": false, "crop_size": 3}`, Bounds{3136, 1003520}},
		"2.5's own type":              {`{"image_processor_type": "Qwen2_5_VLImageProcessor"}`, Bounds{3136, 1003520}},
		"the PIL backend's type":      {`{"image_processor_type": "Qwen2VLImageProcessorPil"}`, Bounds{3136, 1003520}},
		"the older torchvision class": {`{"image_processor_type": "Qwen2VLImageProcessorFast"}`, Bounds{3136, 1003520}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := loadJSON(c.json)
			require.NoError(t, err)
			require.Equal(t, c.bounds, p.Bounds())
			require.Equal(t, 28, p.Factor())
		})
	}
}

func TestLoadProcessorFiles(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	nested, err := LoadProcessor(fstest.MapFS{
		"processor_config.json":    file(`{"processor_class": "Qwen3VLProcessor", "image_processor": {"patch_size": 16}}`),
		"preprocessor_config.json": file(`{"patch_size": 14}`),
	})
	require.NoError(t, err)
	require.Equal(t, 16, nested.PatchSize(), "the nested object wins, as in transformers")

	legacy, err := LoadProcessor(fstest.MapFS{
		"processor_config.json":    file(`{"processor_class": "Qwen3VLProcessor"}`),
		"preprocessor_config.json": file(`{"patch_size": 18}`),
	})
	require.NoError(t, err)
	require.Equal(t, 18, legacy.PatchSize())

	_, err = LoadProcessor(fstest.MapFS{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "preprocessor_config.json")
	_, err = LoadProcessor(fstest.MapFS{"processor_config.json": file(`{`)})
	require.ErrorContains(t, err, "processor_config.json")
}

func TestLoadProcessorRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		json, want  string
		unsupported bool
	}{
		"bilinear":          {`{"resample": 2}`, "resample 2", true},
		"another processor": {`{"image_processor_type": "CLIPImageProcessor"}`, `image_processor_type "CLIPImageProcessor"`, true},
		"a step":            {`{"do_center_crop": true}`, "do_center_crop true", true},
		"fixed size":        {`{"size": {"height": 224, "width": 224}}`, "size.height 224", true},
		"patch 0":           {`{"patch_size": 0}`, "patch_size 0: must be from 1 to 256", false},
		"patch of words":    {`{"patch_size": "16"}`, "patch_size", false},
		"merge -1":          {`{"merge_size": -1}`, "merge_size -1", false},
		"merge huge":        {`{"merge_size": 1000000000000}`, "merge_size", false},
		"frames":            {`{"temporal_patch_size": 1000}`, "temporal_patch_size 1000", false},
		"std 0":             {`{"image_std": [0.5, 0, 0.5]}`, "image_std", false},
		"two means":         {`{"image_mean": [0.5, 0.5]}`, "image_mean", false},
		"rescale 0":         {`{"rescale_factor": 0}`, "rescale_factor 0", false},
		"no least":          {`{"min_pixels": 0}`, "shortest_edge", false},
		"crossed":           {`{"min_pixels": 100, "max_pixels": 99}`, "longest_edge) 99", false},
		"enormous least":    {`{"min_pixels": 1000000000000, "max_pixels": 1000000000000}`, "shortest_edge", false},
		"not an object":     {`[]`, "preprocessor_config.json", false},
		"not JSON":          {`patch_size=16`, "preprocessor_config.json", false},
		"empty":             {``, "preprocessor_config.json", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadJSON(c.json)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.unsupported, bytes.Contains([]byte(err.Error()), []byte(ErrUnsupported.Error())))
			if c.unsupported {
				require.ErrorIs(t, err, ErrUnsupported)
			}
		})
	}
	_, err := loadJSON(`{"patch_size": 0, "resample": 2}`)
	require.ErrorContains(t, err, "patch_size", "all faults are told at once")
	require.ErrorContains(t, err, "resample")
}

func TestBounds(t *testing.T) {
	p, err := loadJSON(qwen3VL)
	require.NoError(t, err)
	require.Equal(t, Bounds{512 * 1024, 2048 * 1024}, p.DocumentBounds())
	require.Equal(t, p.Bounds(), p.ClipBounds(Bounds{}))
	require.Equal(t, Bounds{65536, 100000}, p.ClipBounds(Bounds{MinPixels: 1, MaxPixels: 100000}))
	require.Equal(t, Bounds{100000, 16777216}, p.ClipBounds(Bounds{MinPixels: 100000, MaxPixels: 1 << 28}))
	require.Equal(t, p.Bounds(), p.ClipBounds(Bounds{MinPixels: 1, MaxPixels: 2}), "nothing in common")

	small, err := loadJSON(`{"patch_size": 16, "min_pixels": 1024, "max_pixels": 100000}`)
	require.NoError(t, err)
	require.Equal(t, small.Bounds(), small.DocumentBounds(), "a checkpoint for small pictures keeps its own limits")

	size := func(b Bounds) []int {
		w, h, err := p.Size(1240, 1754, b)
		require.NoError(t, err)
		return []int{w, h}
	}
	require.Equal(t, []int{1248, 1760}, size(Bounds{}))
	require.Equal(t, []int{1216, 1696}, size(p.DocumentBounds()))
	require.Equal(t, []int{160, 224}, size(Bounds{MaxPixels: 40000}), "below the checkpoint's least area, as asked for")
	for _, b := range []Bounds{{MinPixels: -1}, {MaxPixels: -1}, {MinPixels: 9, MaxPixels: 8}, {MinPixels: 1 << 40}, {MaxPixels: 1 << 40}} {
		_, _, err := p.Size(100, 100, b)
		require.ErrorContains(t, err, "bounds", "%v", b)
	}
}

func TestProcessRefuses(t *testing.T) {
	p, err := loadJSON(qwen3VL)
	require.NoError(t, err)
	asItIs, err := loadJSON(`{"do_resize": false}`)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		p    *Processor
		img  image.Image
		want string
	}{
		"nil":           {p, nil, "nil"},
		"no pixels":     {p, image.NewGray(image.Rect(0, 0, 0, 10)), "0 x 10 pixels"},
		"1 x 4000":      {p, image.NewGray(image.Rect(0, 0, 1, 4000)), "1 x 4000 pixels (width x height): one side is 4000 times the other, the models take up to 200"},
		"endless":       {p, image.NewUniform(color.White), "pixels"},
		"broken buffer": {p, &image.Gray{Rect: image.Rect(0, 0, 50, 50)}, "buffer"},
		"no resize":     {asItIs, image.NewGray(image.Rect(0, 0, 56, 57)), "multiples of 28"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.p.Process(t.Context(), c.img, Bounds{})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestProcessStopsWhenCanceled(t *testing.T) {
	p, err := loadJSON(qwen3VL)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Process(ctx, texturedPage(64, 64), Bounds{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.patchify(ctx, imageproc.NewRGB(64, 64))
	require.ErrorIs(t, err, context.Canceled)
}

// Sizes are kept, so that boxes in the model's output can be mapped back to the source.
func TestPatchesKeepSizes(t *testing.T) {
	p, err := loadJSON(qwen3VL)
	require.NoError(t, err)
	got, err := p.Process(t.Context(), image.NewGray(image.Rect(10, 20, 110, 620)), Bounds{})
	require.NoError(t, err)
	require.Equal(t, []int{100, 600}, []int{got.SourceWidth, got.SourceHeight})
	require.Equal(t, []int{got.GridW * 16, got.GridH * 16}, []int{got.Width, got.Height})
}

// The path from a file's bytes to patches: an error or a sound result, whatever the bytes are.
func FuzzProcess(f *testing.F) {
	page, err := os.ReadFile("testdata/processor/qwen2_vl/image_0.png")
	require.NoError(f, err)
	f.Add(page, []byte(tiny))
	f.Add([]byte("not a picture"), []byte(qwen3VL))
	f.Add([]byte("\x89PNG\r\n\x1a\n"), []byte(`{"size": {"longest_edge": 1e9}}`))
	f.Fuzz(func(t *testing.T, data, config []byte) {
		p, err := loadJSON(string(config))
		if err != nil {
			return
		}
		img, err := imageproc.Decode(t.Context(), bytes.NewReader(data), imageproc.Limits{MaxPixels: 1 << 16})
		if err != nil {
			return
		}
		got, err := p.Process(t.Context(), img, p.ClipBounds(Bounds{MinPixels: 1, MaxPixels: 1 << 16}))
		if err != nil {
			return
		}
		require.Len(t, got.Pixels, got.GridH*got.GridW*p.PatchDim())
		require.Equal(t, got.VisualTokens()*p.MergeSize()*p.MergeSize(), got.GridH*got.GridW)
	})
}
