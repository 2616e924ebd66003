package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/textextraction"
)

func TestRun(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.png")
	require.NoError(t, os.WriteFile(bad, []byte("no picture"), 0o600))
	var out bytes.Buffer
	err := run(t.Context(), flags{model: textextraction.TinyModel, dtype: "auto", maxTokens: 4, images: []string{"", bad}}, &out)
	require.ErrorContains(t, err, bad)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 12)
	memory := `: used=\d+\.\d\dGB, reserved=\d+\.\d\dGB, peak=\d+\.\d\dGB, total=\d+\.\d\dGB \(process\)$`
	if runtime.GOOS != "linux" {
		memory = `: used=\d+\.\d\dGB, reserved=\d+\.\d\dGB, peak=-, total=- \(go runtime\)$`
	}
	for i, want := range []string{
		`^Device: pure Go on the CPU`,
		`^Initial` + memory,
		`^time=\S+ level=INFO msg="model loaded" model=omnidocs/tiny device=go `,
		`^time=\S+ level=INFO msg=ready seconds=[\d.]+$`,
		`^After model load` + memory,
		`^time=\S+ level=INFO msg="starting batch processing" images=2 gpu=none$`,
		`^time=\S+ level=WARN msg="page cut short" .*finish=length`,
		`^time=\S+ level=INFO msg=processed image=1 of=2 name="a drawn page" seconds=[\d.]+ words=\d+ first_token_seconds=[\d.]+ prompt_tokens=\d+ tokens=4 finish=length$`,
		`^After extraction` + memory,
		`^time=\S+ level=ERROR msg=failed image=2 of=2 name=bad\.png error=`,
		`^After extraction` + memory,
		`^time=\S+ level=INFO msg="batch complete" seconds=[\d.]+ seconds_per_image=[\d.]+ failed=1$`,
	} {
		require.Regexp(t, want, lines[i])
	}
	require.ErrorIs(t, run(t.Context(), flags{model: textextraction.TinyModel, device: "mps"}, &out), backend.ErrUnavailable)
}

// gpu is a device whose allocator does not know its peak.
type gpu struct{ utilization int }

func (gpu) Memory(context.Context) (backend.MemoryStats, error) {
	return backend.MemoryStats{Used: 17_500_000_000, Reserved: 18e9, Total: 24e9, Source: backend.MemoryPJRT}, nil
}

func (g gpu) GPUs(context.Context) ([]backend.GPU, error) {
	return []backend.GPU{{Utilization: g.utilization}}, nil
}

func TestLogMemory(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, logMemory(t.Context(), &out, "A", gpu{93}))
	require.NoError(t, logMemory(t.Context(), &out, "B", gpu{-1}))
	require.Equal(t, "A: used=17.50GB, reserved=18.00GB, peak=-, total=24.00GB, utilization=93% (pjrt)\n"+
		"B: used=17.50GB, reserved=18.00GB, peak=-, total=24.00GB (pjrt)\n", out.String())
}
