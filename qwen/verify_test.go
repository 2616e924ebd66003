package qwen_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/qwen"
)

// first names the first stage that departs.
func first(t *testing.T, m *qwen.Model, c qwen.Case, opts qwen.VerifyOptions) (qwen.Report, qwen.Stage) {
	t.Helper()
	reports, err := qwen.Verify(t.Context(), m, []qwen.Case{c}, opts)
	require.NoError(t, err)
	require.Len(t, reports, 1)
	s := reports[0].First()
	require.Equal(t, s == nil, reports[0].OK())
	if s == nil {
		return reports[0], qwen.Stage{}
	}
	return reports[0], *s
}

// A case with one value that is wrong is found at that value.
func TestVerifyFindsTheStage(t *testing.T) {
	m := loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))
	sound := readCase(t, os.DirFS(goldenDir))
	e := sound.Expected
	hidden, vocab, dim := m.Spec.Text.Hidden, m.Spec.Text.VocabSize, m.Processor.PatchDim()
	tokens := len(e.InputIDs)
	for name, test := range map[string]struct {
		change func(e *qwen.Expected)
		stage  string
		first  int
		detail string
	}{
		"a pixel":          {func(e *qwen.Expected) { e.PixelValues[3*dim+7] += 0.02 }, "pixel_values", 3*dim + 7, "patch 3, column 7: "},
		"all pixels a bit": {func(e *qwen.Expected) { shift(e.PixelValues, 5e-4) }, "pixel_values", -1, "the mean is beyond"},
		"a pixel is NaN":   {func(e *qwen.Expected) { e.PixelValues[5] = float32(math.NaN()) }, "pixel_values", 5, "want NaN"},
		"fewer pixels":     {func(e *qwen.Expected) { e.PixelValues = e.PixelValues[dim:] }, "pixel_values", 0, " values, want "},
		"a grid":           {func(e *qwen.Expected) { e.Grids[2]++ }, "image_grid_thw", 2, "image 0, patches across: 10, want 11"},
		"a token":          {func(e *qwen.Expected) { e.InputIDs[20]++ }, "input_ids", 20, "token 20: "},
		"another token":    {func(e *qwen.Expected) { e.InputIDs = append(e.InputIDs, 3) }, "input_ids", tokens, "39 values, want 40"},
		"a position":       {func(e *qwen.Expected) { e.Positions[tokens+9] += 2 }, "position_ids", tokens + 9, "height of token 9: "},
		"a visual token":   {func(e *qwen.Expected) { e.Vision[4*hidden+1] -= 0.01 }, "vision", 4*hidden + 1, "visual token 4, column 1: "},
		"infinite":         {func(e *qwen.Expected) { e.Vision[0] = float32(math.Inf(1)) }, "vision", 0, "want +Inf"},
		"deepstack":        {func(e *qwen.Expected) { e.Deepstack[1][2*hidden] -= 0.01 }, "deepstack.1", 2 * hidden, "visual token 2, column 0: "},
		"no deepstack":     {func(e *qwen.Expected) { e.Deepstack = e.Deepstack[:1] }, "deepstack.1", 0, " values, want 0"},
		"more deepstack":   {func(e *qwen.Expected) { e.Deepstack = append(e.Deepstack, e.Vision) }, "deepstack.2", 0, "0 values, want "},
		"a logit":          {func(e *qwen.Expected) { e.Logits[11*vocab+200] += 0.01 }, "logits", 11*vocab + 200, "token 11, column 200: "},
		"a written token":  {func(e *qwen.Expected) { e.Generated[6]++ }, "generated", 6, "token 6: "},
		"the end":          {func(e *qwen.Expected) { e.Generated = e.Generated[:23] }, "text", -1, "want"},
		"the text":         {func(e *qwen.Expected) { e.Text += "." }, "text", len([]rune(e.Text)), `want "."`},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound
			c.Expected = clone(sound.Expected)
			test.change(&c.Expected)
			report, s := first(t, m, c, qwen.VerifyOptions{})
			require.Equal(t, test.stage, s.Name, s.Detail)
			require.Contains(t, s.Detail, test.detail)
			if test.first >= 0 {
				require.Equal(t, test.first, s.First)
			}
			_, err := json.Marshal(report)
			require.NoError(t, err, "reports can be written as JSON, whatever the numbers")
		})
	}
	_, s := first(t, m, sound, qwen.VerifyOptions{})
	require.Empty(t, s.Name, "the case itself is sound: %s", s.Detail)
}

func shift(values []float32, by float32) {
	for i := range values {
		values[i] += by
	}
}

func clone(e qwen.Expected) qwen.Expected {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	var c qwen.Expected
	if err := json.Unmarshal(data, &c); err != nil {
		panic(err)
	}
	return c
}

// A fault at the front shows at its own stage and in those that follow from it.
func TestVerifyFollowsAFault(t *testing.T) {
	m := loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))
	c := readCase(t, os.DirFS(goldenDir))
	size := c.Images[0].Bounds()
	negative := image.NewRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			r, g, b, _ := c.Images[0].At(x, y).RGBA()
			negative.Set(x, y, color.RGBA{R: uint8(255 - r>>8), G: uint8(255 - g>>8), B: uint8(255 - b>>8), A: 255})
		}
	}
	c.Images = []image.Image{negative}
	var seen []string
	report, s := first(t, m, c, qwen.VerifyOptions{Progress: func(name string, s qwen.Stage) {
		require.Equal(t, "golden", name)
		if !s.OK {
			seen = append(seen, s.Name)
		}
	}})
	require.Equal(t, "pixel_values", s.Name)
	require.Equal(t, []string{"pixel_values", "vision", "deepstack.0", "deepstack.1", "logits", "generated", "text"}, seen)
	require.Len(t, report.Stages, 10)

	c = readCase(t, os.DirFS(goldenDir))
	c.Prompt.Text += "!"
	_, s = first(t, m, c, qwen.VerifyOptions{})
	require.Equal(t, "input_ids", s.Name)
	c = readCase(t, os.DirFS(goldenDir))
	c.Bounds = qwen.Bounds{MaxPixels: 32 * 32 * 8}
	_, s = first(t, m, c, qwen.VerifyOptions{})
	require.Equal(t, "pixel_values", s.Name)
	require.Contains(t, s.Detail, "values, want")
}

// Options replace tolerances, and those of large numbers grow with them.
func TestVerifyTolerances(t *testing.T) {
	m := loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))
	c := readCase(t, os.DirFS(goldenDir))
	_, s := first(t, m, c, qwen.VerifyOptions{Tolerances: map[string]qwen.Tolerance{"deepstack": {}}})
	require.Equal(t, "deepstack.0", s.Name)
	require.Positive(t, s.Beyond)
	require.Less(t, s.Max, 1e-4, "what float32 costs on this case is far below what is allowed")
	_, err := qwen.Verify(t.Context(), m, []qwen.Case{c}, qwen.VerifyOptions{Tolerances: map[string]qwen.Tolerance{"logit": {}}})
	require.ErrorContains(t, err, `"logit"`)

	// A share of the values may be beyond, if the mean is not; what is not finite may not.
	few := qwen.VerifyOptions{Tolerances: map[string]qwen.Tolerance{"logits": {Max: 1e-3, Share: 2.5 / float64(len(c.Expected.Logits)), Mean: 1e-3}}}
	for _, at := range []int{3, 700} {
		c.Expected.Logits[at]++
		report, s := first(t, m, c, few)
		require.Empty(t, s.Name, s.Detail)
		require.Positive(t, report.Stages[7].Beyond)
	}
	c.Expected.Logits[1000] += 1e-2
	_, s = first(t, m, c, few)
	require.Equal(t, "logits", s.Name)
	require.Equal(t, 3, s.Beyond)
	require.Equal(t, 3, s.First)
	c.Expected.Logits[1000] -= 1e-2
	c.Expected.Logits[3] = float32(math.NaN())
	_, s = first(t, m, c, few)
	require.Equal(t, "logits", s.Name)
	c = readCase(t, os.DirFS(goldenDir))
	c.Expected.Logits[9] += 1000
	_, s = first(t, m, c, few)
	require.Contains(t, s.Detail, "the mean is beyond")

	c = readCase(t, os.DirFS(goldenDir))
	c.Expected.Logits[17] = 3200
	report, s := first(t, m, c, qwen.VerifyOptions{})
	require.Equal(t, "logits", s.Name)
	require.InDelta(t, 0.2, report.Stages[7].Tolerance.Max, 1e-9)
	require.Equal(t, 1, s.Beyond)
}

// The reference may keep the logits of the last tokens only.
func TestVerifyLastLogits(t *testing.T) {
	m := loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))
	c := readCase(t, os.DirFS(goldenDir))
	vocab := m.Spec.Text.VocabSize
	c.Expected.Logits = c.Expected.Logits[len(c.Expected.Logits)-3*vocab:]
	_, s := first(t, m, c, qwen.VerifyOptions{})
	require.Empty(t, s.Name, s.Detail)
	c.Expected.Logits[vocab+2]++
	_, s = first(t, m, c, qwen.VerifyOptions{})
	require.Equal(t, "logits", s.Name)
	require.Contains(t, s.Detail, "token 37, column 2")
	c.Expected.Logits = c.Expected.Logits[1:]
	_, s = first(t, m, c, qwen.VerifyOptions{})
	require.Equal(t, "logits", s.Name)
}

// In half precision a choice that is as good as the reference's is no fault; one that is not, is.
func TestVerifyChoicesOfHalfPrecision(t *testing.T) {
	m, err := qwen.Load(t.Context(), openDevice(t).Runtime(), os.DirFS(goldenDir), qwen.LoadOptions{DType: dtypes.BFloat16})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	c := readCase(t, os.DirFS(goldenDir))
	vocab := m.Spec.Text.VocabSize
	last := c.Expected.Logits[len(c.Expected.Logits)-vocab:]
	best, second, worst := 0, -1, 0
	for i, v := range last {
		if v > last[best] {
			best = i
		}
		if v < last[worst] {
			worst = i
		}
	}
	for i, v := range last {
		if i != best && (second < 0 || v > last[second]) {
			second = i
		}
	}
	margin := float64(last[best] - last[second])
	wide := map[string]qwen.Tolerance{"logits": {Max: margin, Mean: 1}}
	narrow := map[string]qwen.Tolerance{"logits": {Max: margin / 4, Mean: 1}}
	if margin < 1 { // the bounds must leave the logits themselves alone
		t.Fatalf("the margin of the first token is only %g", margin)
	}

	c.Expected.Generated[0] = int32(second)
	report, s := first(t, m, c, qwen.VerifyOptions{Tolerances: wide})
	require.Empty(t, s.Name, s.Detail)
	written := report.Stages[len(report.Stages)-1]
	require.Equal(t, "generated", written.Name)
	require.Contains(t, written.Detail, "half precision")
	_, s = first(t, m, c, qwen.VerifyOptions{Tolerances: narrow})
	require.Equal(t, "generated", s.Name)
	c.Expected.Generated[0] = int32(worst)
	_, s = first(t, m, c, qwen.VerifyOptions{Tolerances: wide})
	require.Equal(t, "generated", s.Name)

	// With weights in float32, no other choice is as good, unless the reference was in half precision.
	m32 := loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))
	c.Expected.Generated[0] = int32(second)
	_, s = first(t, m32, c, qwen.VerifyOptions{Tolerances: wide})
	require.Equal(t, "generated", s.Name)
	c.DType = "bfloat16"
	_, s = first(t, m32, c, qwen.VerifyOptions{Tolerances: wide})
	require.Empty(t, s.Name, s.Detail)
}

func TestFindCases(t *testing.T) {
	names, err := qwen.FindCases(os.DirFS("testdata/golden"))
	require.NoError(t, err)
	require.Contains(t, names, "qwen3_vl")
	names, err = qwen.FindCases(os.DirFS(goldenDir))
	require.NoError(t, err)
	require.Equal(t, []string{"."}, names)
	_, err = qwen.FindCases(fstest.MapFS{"a/b": {}})
	require.ErrorContains(t, err, "make_case.py")
}

func TestReadCaseRefuses(t *testing.T) {
	tensors := func(change func(d []checkpoint.Data) []checkpoint.Data) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			files["model.safetensors"] = files["expected.safetensors"]
			all := change(readTensors(t, files, checkpoint.BF16)) // as they are stored
			var out bytes.Buffer
			require.NoError(t, checkpoint.Write(&out, all...))
			files["expected.safetensors"] = &fstest.MapFile{Data: out.Bytes()}
		}
	}
	text := func(from, to string) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			data := string(files["expected.json"].Data)
			require.Contains(t, data, from)
			files["expected.json"] = &fstest.MapFile{Data: []byte(strings.Replace(data, from, to, 1))}
		}
	}
	remove := func(name string) func(fstest.MapFS) { return func(files fstest.MapFS) { delete(files, name) } }
	for name, test := range map[string]struct {
		change func(files fstest.MapFS)
		says   string
	}{
		"no json":      {remove("expected.json"), "expected.json"},
		"no tensors":   {remove("expected.safetensors"), "expected.safetensors"},
		"no picture":   {remove("image_0.png"), "0 pictures"},
		"no PNG":       {func(f fstest.MapFS) { f["image_0.png"] = &fstest.MapFile{Data: []byte("x")} }, "image_0.png"},
		"not JSON":     {func(f fstest.MapFS) { f["expected.json"] = &fstest.MapFile{Data: []byte("x")} }, "expected.json"},
		"other prompt": {text("<|im_start|>assistant", ""), ""},
		"no prompt":    {text("<|vision_end|>", ""), "user_prompt"},
		"other dtype":  {text(`"text"`, `"dtype": "int8", "text"`), `"int8"`},
		"one missing":  {tensors(func(d []checkpoint.Data) []checkpoint.Data { return without(d, "vision") }), `no tensor "vision"`},
		"one too many": {tensors(func(d []checkpoint.Data) []checkpoint.Data { return renamed(d, "vision", "visoin") }), `no tensor "visoin"`},
		"a gap":        {tensors(func(d []checkpoint.Data) []checkpoint.Data { return renamed(d, "deepstack.0", "deepstack.2") }), "deepstack.2"},
		"not integers": {tensors(func(d []checkpoint.Data) []checkpoint.Data {
			return append(without(d, "generated"), checkpoint.Float32("generated", []float32{1}, 1))
		}), "want I32"},
		"empty": {tensors(func(d []checkpoint.Data) []checkpoint.Data {
			return append(without(d, "vision"), checkpoint.Float32("vision", nil, 0))
		}), "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			files := withConfig(t, os.DirFS(goldenDir), nil).(fstest.MapFS)
			test.change(files)
			c, err := qwen.ReadCase(t.Context(), files, "a case")
			if test.says == "" {
				require.NoError(t, err)
				require.Equal(t, "qwenvl markdown", c.Prompt.Text)
				return
			}
			require.ErrorContains(t, err, "case a case")
			require.ErrorContains(t, err, test.says)
		})
	}
	_, err := qwen.ReadCase(t.Context(), fstest.MapFS{}, "nothing")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func without(all []checkpoint.Data, name string) (rest []checkpoint.Data) {
	for _, d := range all {
		if d.Name != name {
			rest = append(rest, d)
		}
	}
	return rest
}

func renamed(all []checkpoint.Data, from, to string) []checkpoint.Data {
	for i := range all {
		if all[i].Name == from {
			all[i].Name = to
		}
	}
	return all
}
