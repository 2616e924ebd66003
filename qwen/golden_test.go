package qwen_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// TestGolden runs every case folder under OMNIDOCS_GOLDEN, or under testdata/golden, on the device OMNIDOCS_DEVICE (the
// pure-Go backend when unset), and compares each stage with what transformers computed, float32 against float32.
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
	c := readCase(t, fsys)
	names := []string{"pixel_values", "image_grid_thw", "input_ids", "position_ids", "vision"}
	for i := range c.Expected.Deepstack {
		names = append(names, fmt.Sprint("deepstack.", i))
	}
	reports, err := qwen.Verify(t.Context(), m, []qwen.Case{c}, qwen.VerifyOptions{})
	require.NoError(t, err)
	require.Len(t, reports, 1)
	var compared []string
	for _, s := range reports[0].Stages {
		compared = append(compared, s.Name)
		t.Run(s.Name, func(t *testing.T) {
			t.Logf("max error %.2g, mean %.2g (allowed %.2g, %.2g) of %d values", s.Max, s.Mean, s.Tolerance.Max, s.Tolerance.Mean, s.Values)
			require.True(t, s.OK, s.Detail)
			require.Positive(t, s.Values)
			require.Equal(t, goldenTolerances[s.Name], s.Tolerance, "the golden cases are small, and so is what is allowed")
		})
	}
	require.Equal(t, append(names, "logits", "generated", "text"), compared)
}

// goldenTolerances are what the golden cases are held to; what is not here must be the same.
var goldenTolerances = map[string]qwen.Tolerance{
	"pixel_values": {Max: 1e-2, Mean: 1e-4}, "vision": {Max: 2e-3, Mean: 2e-3}, "logits": {Max: 2e-3, Mean: 2e-3},
	"deepstack.0": {Max: 2e-3, Mean: 2e-3}, "deepstack.1": {Max: 2e-3, Mean: 2e-3}, "deepstack.2": {Max: 2e-3, Mean: 2e-3},
}

func readCase(t testing.TB, fsys fs.FS) qwen.Case {
	t.Helper()
	c, err := qwen.ReadCase(context.Background(), fsys, "golden")
	require.NoError(t, err)
	return c
}

// departures runs the case of a folder and names the stages that depart from it.
func departures(t testing.TB, m *qwen.Model, fsys fs.FS) ([]string, error) {
	t.Helper()
	reports, err := qwen.Verify(context.Background(), m, []qwen.Case{readCase(t, fsys)}, qwen.VerifyOptions{})
	var names []string
	for _, r := range reports {
		for _, s := range r.Stages {
			if !s.OK {
				names = append(names, s.Name+": "+s.Detail)
			}
		}
	}
	return names, err
}

// requireGolden runs the case of a folder, of which no stage may depart.
func requireGolden(t testing.TB, m *qwen.Model, fsys fs.FS) {
	t.Helper()
	names, err := departures(t, m, fsys)
	require.NoError(t, err)
	require.Empty(t, names)
}

func objectsEqual(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}
