package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/textextraction"
)

func settings(device string) flags {
	return flags{pages: 3, config: textextraction.QwenTextVLLMConfig{
		Model: textextraction.TinyModel, Device: device, TensorParallelSize: 1, Devices: 2, MaxTokens: 256, MaxNumSeqs: 2, EnforceEager: true,
	}}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), settings(""), &out))
	require.Regexp(t, `^omnidocs/tiny on go, divided among 1: 0\.\d+ GB of weights on each, 0\.\d+ GB with cache and pages, 2 pages together
.*the pure-Go backend is one.*
so a pool of 2 extractors stands for them
\[1\] 4 words on go by worker \d
\[2\] 4 words on go by worker \d
\[3\] 4 words on go by worker \d
3 pages in \d+\.\d s
$`, out.String())
}

// What does not fit, and what cannot be divided so, is said before anything is loaded.
func TestPlan(t *testing.T) {
	f := settings("cuda")
	f.plan, f.memory = true, "0.01GB"
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), f, &out), "it does not fit into 0.010 GB; what would help: ")
	f.memory = "24GB"
	require.NoError(t, run(t.Context(), f, &out))
	f.config.TensorParallelSize = 2
	require.ErrorContains(t, run(t.Context(), f, &out), "which 2 does not divide")
	f.memory = "much"
	require.ErrorContains(t, run(t.Context(), f, &out), "-memory much: ")
}

func TestDevices(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), settings("xla:cpu"), &out)
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	require.NoError(t, err)
	require.Regexp(t, `\[3\] 4 words on xla:cpu\n3 pages in`, out.String())
}
