package qwen

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// Case is what a reference computed for pages and a prompt, for [Verify] to compare with. The program testdata/make_case.py of this
// package makes one from any checkpoint with Hugging Face transformers; [ReadCase] reads it.
type Case struct {
	// Name tells the case from others in a report.
	Name string
	// Images are the pages, in the order of the prompt.
	Images []image.Image
	// Prompt is what was asked about them.
	Prompt Prompt
	// Bounds are the limits that the pages were scaled to, zero where they were the checkpoint's own.
	Bounds Bounds
	// DType is the type that the reference computed in: "float32", "bfloat16" or "float16".
	DType string
	// Producer names the reference, for example "transformers 5.23.0, torch 2.13.0".
	Producer string
	// Expected are the values that came out.
	Expected Expected
}

// Expected are the values of a case, row by row.
type Expected struct {
	// PixelValues are the patches of all images, [patches, 3*T*P*P].
	PixelValues []float32
	// Grids are frames, patches down and patches across of each image, [images, 3].
	Grids []int32
	// InputIDs are the prompt's tokens, and Positions their time, height and width positions, [3, tokens].
	InputIDs, Positions []int32
	// Vision are the visual tokens of all images, [visual tokens, hidden], and Deepstack those that go into the first text layers,
	// one of the same shape for each, where the model has them.
	Vision    []float32
	Deepstack [][]float32
	// Logits are those of the last tokens of the prompt, or of all, [rows, vocabulary].
	Logits []float32
	// Generated are the greedy tokens, with the one that ended the answer, and Text is their text without special tokens.
	Generated []int32
	Text      string
}

// FindCases lists the folders below the root of fsys that hold a case, in order; "." is the root itself.
func FindCases(fsys fs.FS) ([]string, error) {
	if _, err := fs.Stat(fsys, expectedTensors); err == nil {
		return []string{"."}, nil
	}
	files, err := fs.Glob(fsys, "*/"+expectedTensors)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no %s, neither here nor in a folder below: make a case with qwen/testdata/make_case.py", expectedTensors)
	}
	if err != nil {
		return nil, fmt.Errorf("qwen: cases: %w", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, "/"+expectedTensors)
	}
	return files, nil
}

const (
	expectedTensors = "expected.safetensors"
	expectedText    = "expected.json"
)

// ReadCase reads the case at the root of fsys: expected.json, expected.safetensors and image_N.png. Tensors that are missing or that
// a case does not have, and pictures that cannot be read, are an error.
func ReadCase(ctx context.Context, fsys fs.FS, name string) (Case, error) {
	c := Case{Name: name}
	if err := c.readText(fsys); err != nil {
		return Case{}, fmt.Errorf("qwen: case %s: %s: %w", name, expectedText, err)
	}
	if err := c.readTensors(ctx, fsys); err != nil {
		return Case{}, fmt.Errorf("qwen: case %s: %s: %w", name, expectedTensors, err)
	}
	if err := c.readImages(ctx, fsys); err != nil {
		return Case{}, fmt.Errorf("qwen: case %s: %w", name, err)
	}
	return c, nil
}

func (c *Case) readText(fsys fs.FS) error {
	data, err := fs.ReadFile(fsys, expectedText)
	if err != nil {
		return err
	}
	var file struct {
		User         *string `json:"user_prompt"`
		System       string  `json:"system_prompt"`
		Rendered     string  `json:"prompt"`
		Text         string  `json:"text"`
		MinPixels    int     `json:"min_pixels"`
		MaxPixels    int     `json:"max_pixels"`
		DType        string  `json:"dtype"`
		Torch        string  `json:"torch"`
		Transformers string  `json:"transformers"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	if file.User == nil { // the first cases had only the prompt as the template rendered it
		user, err := userText(file.Rendered)
		if err != nil {
			return err
		}
		file.User = &user
	}
	if file.DType == "" {
		file.DType = "float32"
	}
	if !slices.Contains([]string{"float32", "bfloat16", "float16"}, file.DType) {
		return fmt.Errorf("dtype %q: want float32, bfloat16 or float16", file.DType)
	}
	c.Prompt = Prompt{System: file.System, Text: *file.User}
	c.Bounds = Bounds{MinPixels: file.MinPixels, MaxPixels: file.MaxPixels}
	c.DType, c.Producer = file.DType, "transformers "+file.Transformers+", torch "+file.Torch
	c.Expected.Text = file.Text
	return nil
}

// userText is the user's text within a rendered prompt: what stands between the last image and the end of the turn.
func userText(rendered string) (string, error) {
	const end = "<|vision_end|>"
	if at := strings.LastIndex(rendered, end); at >= 0 {
		if text, _, ok := strings.Cut(rendered[at+len(end):], endOfTurn); ok {
			return text, nil
		}
	}
	return "", errors.New("no user_prompt, and none can be told from prompt")
}

// tensorsAs is a checkpoint folder in which the expected tensors are the weights.
type tensorsAs struct{ fs.FS }

func (t tensorsAs) Open(name string) (fs.File, error) {
	if name == "model.safetensors" {
		name = expectedTensors
	}
	return t.FS.Open(name)
}

func (c *Case) readTensors(ctx context.Context, fsys fs.FS) (err error) {
	file, err := checkpoint.Open(tensorsAs{fsys})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	e := &c.Expected
	floats := map[string]*[]float32{"pixel_values": &e.PixelValues, "vision": &e.Vision, "logits": &e.Logits}
	ints := map[string]*[]int32{"image_grid_thw": &e.Grids, "input_ids": &e.InputIDs, "position_ids": &e.Positions, "generated": &e.Generated}
	for i := range file.Tensors() {
		name := deepstackStage(i)
		if _, ok := file.Lookup(name); !ok {
			break
		}
		e.Deepstack = append(e.Deepstack, nil)
	}
	for i := range e.Deepstack {
		floats[deepstackStage(i)] = &e.Deepstack[i]
	}
	var faults []error
	for _, t := range file.Tensors() {
		switch {
		case floats[t.Name] != nil:
			*floats[t.Name] = make([]float32, t.Elements())
			err = file.ReadFloat32(ctx, t.Name, *floats[t.Name], checkpoint.ReadOptions{})
			delete(floats, t.Name)
		case ints[t.Name] != nil:
			*ints[t.Name], err = readInts(ctx, file, t)
			delete(ints, t.Name)
		default:
			err = fmt.Errorf("a case has no tensor %q", t.Name)
		}
		if err == nil && t.Elements() == 0 {
			err = fmt.Errorf("tensor %q is empty", t.Name)
		}
		faults = append(faults, err)
	}
	for name := range floats {
		faults = append(faults, fmt.Errorf("no tensor %q", name))
	}
	for name := range ints {
		faults = append(faults, fmt.Errorf("no tensor %q", name))
	}
	return errors.Join(faults...)
}

func deepstackStage(i int) string { return "deepstack." + strconv.Itoa(i) }

func readInts(ctx context.Context, file *checkpoint.Checkpoint, t checkpoint.Tensor) ([]int32, error) {
	if t.DType != "I32" {
		return nil, fmt.Errorf("tensor %q is %s, want I32", t.Name, t.DType)
	}
	raw := make([]byte, t.Bytes)
	if err := file.ReadInto(ctx, t.Name, raw); err != nil {
		return nil, err
	}
	list := make([]int32, len(raw)/4)
	for i := range list {
		list[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return list, nil
}

func (c *Case) readImages(ctx context.Context, fsys fs.FS) error {
	names, err := fs.Glob(fsys, "image_*.png")
	if err != nil {
		return err
	}
	if len(names)*3 != len(c.Expected.Grids) {
		return fmt.Errorf("%d pictures image_N.png for an image_grid_thw of %d numbers, which is three a picture", len(names), len(c.Expected.Grids))
	}
	for _, name := range names {
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		img, err := imageproc.Decode(ctx, f, imageproc.Limits{})
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.Images = append(c.Images, img)
	}
	return nil
}
