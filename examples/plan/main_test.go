package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/pdfwriter"
	"github.com/omnidocs/omnidocs/textextraction"
)

func TestRun(t *testing.T) {
	f := flags{config: textextraction.QwenTextVLLMConfig{Model: textextraction.TinyModel, Device: "go"}, size: "1240x1754", pages: 3}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "fits")
	require.Contains(t, out.String(), "1240×1754 pixels")

	book := filepath.Join(t.TempDir(), "book.pdf") // of pages of different sizes
	require.NoError(t, os.WriteFile(book, pdfwriter.Write(nil, pdfwriter.Page{Width: 420, Height: 595}, pdfwriter.Page{}), 0o600))
	out.Reset()
	require.NoError(t, run(t.Context(), flags{config: f.config, document: book, dpi: 100}, &out))
	require.Contains(t, out.String(), "850×1100 pixels")
	require.Contains(t, out.String(), "2 of", "no more slots than pages")

	out.Reset()
	f.asJSON, f.memory = true, "20MB"
	require.ErrorIs(t, run(t.Context(), f, &out), errNoFit)
	var plan textextraction.Plan
	require.NoError(t, json.Unmarshal(out.Bytes(), &plan))
	require.EqualValues(t, 20_000_000, plan.Limit)
	require.NotEmpty(t, plan.Advice)
	for _, bad := range []flags{{size: "large"}, {memory: "much"}, {memory: "-1GB"}, {document: "main.go"}, {document: "none.png"}} {
		require.Error(t, run(t.Context(), bad, &out), bad)
	}
}
