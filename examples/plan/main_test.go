package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

func TestRun(t *testing.T) {
	f := flags{config: textextraction.QwenTextVLLMConfig{Model: textextraction.TinyModel, Device: "go"}, size: "1240x1754", pages: 3}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "fits")
	require.Contains(t, out.String(), "1240×1754 pixels")
	out.Reset()
	f.asJSON, f.memory = true, "20MB"
	require.ErrorIs(t, run(t.Context(), f, &out), errNoFit)
	var plan textextraction.Plan
	require.NoError(t, json.Unmarshal(out.Bytes(), &plan))
	require.EqualValues(t, 20_000_000, plan.Limit)
	require.NotEmpty(t, plan.Advice)
	for _, bad := range []flags{{size: "large"}, {memory: "much"}, {memory: "-1GB"}, {image: "main.go"}, {image: "none.png"}} {
		require.Error(t, run(t.Context(), bad, &out), bad)
	}
}
