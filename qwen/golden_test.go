package qwen_test

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/qwen"
)

// The tolerances of the golden tests, all of float32 against float32. Pixels: one grey level after the resize is 2/255,
// which the mean shows to be rare. The rest: sums in another order, through at most four layers of unit-scale numbers.
const (
	pixelMaxError  = 1e-2
	pixelMeanError = 1e-4
	stageMaxError  = 2e-3
)

// TestGolden runs every case folder under OMNIDOCS_GOLDEN, or under testdata/golden, on the device OMNIDOCS_DEVICE (the
// pure-Go backend when unset), and compares each stage with what transformers computed.
func TestGolden(t *testing.T) {
	dir := os.Getenv("OMNIDOCS_GOLDEN")
	if dir == "" {
		dir = filepath.Join("testdata", "golden")
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	device := openDevice(t)
	cases := 0
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Name() == "processor" && e.IsDir():
			cases++
			t.Run("processor", func(t *testing.T) { goldenProcessor(t, path) })
		case exists(filepath.Join(path, "expected.safetensors")):
			cases++
			t.Run(e.Name(), func(t *testing.T) {
				_, err := qwen.ReadSpec(os.DirFS(path))
				if errors.Is(err, qwen.ErrUnsupported) {
					t.Skipf("not built yet: %v", err)
				}
				require.NoError(t, err)
				goldenCase(t, device, os.DirFS(path))
			})
		}
	}
	require.Positive(t, cases, "no case folder in %s", dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// openDevice opens the device that OMNIDOCS_DEVICE names.
func openDevice(t testing.TB) *backend.Device {
	t.Helper()
	name := os.Getenv("OMNIDOCS_DEVICE")
	if name == "" {
		name = "go"
	}
	device, err := backend.Open(context.Background(), name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	return device
}

func loadModel(t testing.TB, runtime qwen.Runtime, fsys fs.FS) *qwen.Model {
	t.Helper()
	m, err := qwen.Load(context.Background(), runtime, fsys, qwen.LoadOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// goldenCase compares all stages of one case, each in a subtest of its name.
func goldenCase(t *testing.T, device *backend.Device, fsys fs.FS) {
	m := loadModel(t, device.Runtime(), fsys)
	want := readExpected(t, fsys)
	got, err := computeCase(t.Context(), m, readImages(t, fsys), want.prompt(), len(want.ints["generated"]))
	require.NoError(t, err)
	for _, s := range got.stages(want) {
		t.Run(s.name, func(t *testing.T) {
			maxError, mean, err := s.compare()
			require.NoError(t, err)
			t.Logf("max error %.2g, mean %.2g (allowed %.2g, %.2g)", maxError, mean, s.max, s.mean)
		})
	}
}

// expected is what transformers computed for a case.
type expected struct {
	Rendered string `json:"prompt"`
	Text     string `json:"text"`
	floats   map[string][]float32
	ints     map[string][]int32
}

func readExpected(t testing.TB, fsys fs.FS) expected {
	t.Helper()
	e := expected{floats: map[string][]float32{}, ints: map[string][]int32{}}
	data, err := fs.ReadFile(fsys, "expected.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &e))
	c, err := checkpoint.Open(renamed{fsys, "model.safetensors", "expected.safetensors"})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	for _, tensor := range c.Tensors() {
		if tensor.DType == checkpoint.F32 {
			e.floats[tensor.Name] = make([]float32, tensor.Elements())
			require.NoError(t, c.ReadFloat32(context.Background(), tensor.Name, e.floats[tensor.Name], checkpoint.ReadOptions{}))
			continue
		}
		raw := make([]byte, tensor.Bytes)
		require.NoError(t, c.ReadInto(context.Background(), tensor.Name, raw))
		require.EqualValues(t, "I32", tensor.DType)
		for i := 0; i < len(raw); i += 4 {
			e.ints[tensor.Name] = append(e.ints[tensor.Name], int32(uint32(raw[i])|uint32(raw[i+1])<<8|uint32(raw[i+2])<<16|uint32(raw[i+3])<<24))
		}
	}
	return e
}

// prompt is the user's text within the rendered prompt: what stands between the last image and the end of the turn.
func (e expected) prompt() qwen.Prompt {
	_, text, _ := strings.Cut(e.Rendered[strings.LastIndex(e.Rendered, "<|vision_end|>"):], ">")
	text, _, _ = strings.Cut(text, "<|im_end|>")
	return qwen.Prompt{Text: text}
}

// renamed is a file system in which one file goes by another's name.
type renamed struct {
	fs.FS
	name, target string
}

func (r renamed) Open(name string) (fs.File, error) {
	if name == r.name {
		name = r.target
	}
	return r.FS.Open(name)
}

func readImages(t testing.TB, fsys fs.FS) []image.Image {
	t.Helper()
	names, err := fs.Glob(fsys, "image_*.png")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	var images []image.Image
	for _, name := range names {
		f, err := fsys.Open(name)
		require.NoError(t, err)
		img, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		images = append(images, img)
	}
	return images
}

// computed are the same values as an expected, from this library.
type computed struct {
	text   string
	floats map[string][]float32
	ints   map[string][]int32
}

// computeCase runs images and a prompt through all stages of a model.
func computeCase(ctx context.Context, m *qwen.Model, images []image.Image, prompt qwen.Prompt, newTokens int) (_ computed, err error) {
	got := computed{floats: map[string][]float32{}, ints: map[string][]int32{}}
	var grids []qwen.Grid
	var visuals []*qwen.Visual
	defer func() {
		for _, v := range visuals {
			err = errors.Join(err, v.Close())
		}
	}()
	for _, img := range images {
		p, err := m.Processor.Process(ctx, img, qwen.Bounds{})
		if err != nil {
			return got, err
		}
		got.floats["pixel_values"] = append(got.floats["pixel_values"], p.Pixels...)
		got.ints["image_grid_thw"] = append(got.ints["image_grid_thw"], 1, int32(p.GridH), int32(p.GridW))
		grids = append(grids, qwen.Grid{Height: p.GridH, Width: p.GridW})
		v, err := m.Encode(ctx, p)
		if err != nil {
			return got, err
		}
		visuals = append(visuals, v)
		rows, deepstack, err := v.Rows()
		if err != nil {
			return got, err
		}
		got.floats["vision"] = append(got.floats["vision"], rows...)
		for i, d := range deepstack {
			name := "deepstack." + string(rune('0'+i))
			got.floats[name] = append(got.floats[name], d...)
		}
	}
	l, err := m.Layout(prompt, grids)
	if err != nil {
		return got, err
	}
	got.ints["input_ids"] = l.IDs
	for _, axis := range l.Positions {
		got.ints["position_ids"] = append(got.ints["position_ids"], axis...)
	}
	if got.floats["logits"], err = m.Logits(ctx, l, visuals); err != nil {
		return got, err
	}
	if got.ints["generated"], err = greedy(ctx, m, l, visuals, newTokens); err != nil {
		return got, err
	}
	got.text = m.Tokenizer.Decode(got.ints["generated"], true)
	return got, nil
}

// greedy writes tokens until there are enough of them or one ends the answer, which is kept, as transformers does.
func greedy(ctx context.Context, m *qwen.Model, l *qwen.Layout, visuals []*qwen.Visual, newTokens int) (tokens []int32, err error) {
	cache := m.NewCache(1, len(l.IDs)+newTokens)
	defer func() { err = errors.Join(err, cache.Close()) }()
	h, err := m.Prefill(ctx, l, visuals, cache, 0)
	for {
		if err != nil {
			return nil, err
		}
		next, err := m.Choose(ctx, h, nil)
		if err := errors.Join(err, h.Close()); err != nil {
			return nil, err
		}
		if tokens = append(tokens, next[0]); len(tokens) == newTokens || slices.Contains(m.Spec.EOS, next[0]) {
			return tokens, nil
		}
		if h, err = m.Step(ctx, cache, next, []bool{true}); err != nil {
			return nil, err
		}
	}
}

// stage is one comparison.
type stage struct {
	name      string
	compare   func() (maxError, mean float64, err error)
	max, mean float64
}

// stages lists the comparisons of a case, in the order in which the values come about.
func (got computed) stages(want expected) []stage {
	var list []stage
	floats := func(name string, maxError, mean float64) {
		list = append(list, stage{name, func() (float64, float64, error) {
			return compareFloats(got.floats[name], want.floats[name], maxError, mean)
		}, maxError, mean})
	}
	exact := func(name string, a, b any) {
		list = append(list, stage{name: name, compare: func() (float64, float64, error) {
			if !objectsEqual(a, b) {
				return 0, 0, errors.New(name + " differs")
			}
			return 0, 0, nil
		}})
	}
	floats("pixel_values", pixelMaxError, pixelMeanError)
	exact("image_grid_thw", got.ints["image_grid_thw"], want.ints["image_grid_thw"])
	exact("input_ids", got.ints["input_ids"], want.ints["input_ids"])
	exact("position_ids", got.ints["position_ids"], want.ints["position_ids"])
	floats("vision", stageMaxError, stageMaxError)
	for i := range 8 {
		name := "deepstack." + string(rune('0'+i))
		if want.floats[name] != nil || got.floats[name] != nil {
			floats(name, stageMaxError, stageMaxError)
		}
	}
	floats("logits", stageMaxError, stageMaxError)
	exact("generated", got.ints["generated"], want.ints["generated"])
	exact("text", got.text, want.Text)
	return list
}

// failures counts the stages that differ.
func (got computed) failures(want expected) int {
	n := 0
	for _, s := range got.stages(want) {
		if _, _, err := s.compare(); err != nil {
			n++
		}
	}
	return n
}

func objectsEqual(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func compareFloats(got, want []float32, maxAllowed, meanAllowed float64) (maxError, mean float64, err error) {
	if len(got) != len(want) || len(want) == 0 {
		return 0, 0, errors.New("another number of values")
	}
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			return d, d, errors.New("NaN")
		}
		maxError = max(maxError, d)
		mean += d / float64(len(want))
	}
	if maxError > maxAllowed || mean > meanAllowed {
		return maxError, mean, errors.New("too far apart")
	}
	return maxError, mean, nil
}
