package textextraction

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFormat(t *testing.T) {
	for _, row := range []struct {
		format       Format
		name, prompt string
	}{
		{Markdown, "markdown", "qwenvl markdown"},
		{HTML, "html", "qwenvl html"},
	} {
		require.Equal(t, row.name, row.format.String())
		require.Equal(t, row.prompt, row.format.Prompt())
		parsed, err := ParseFormat(row.name)
		require.NoError(t, err)
		require.Equal(t, row.format, parsed)
		text, err := json.Marshal(map[Format]Format{row.format: row.format})
		require.NoError(t, err)
		require.JSONEq(t, `{"`+row.name+`":"`+row.name+`"}`, string(text))
		var back map[Format]Format
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, map[Format]Format{row.format: row.format}, back)
	}
	require.Equal(t, Markdown, Format(0), "Markdown is the zero value")
}

func TestFormatErrors(t *testing.T) {
	for _, name := range []string{"", "md", "HTML", "Markdown", "json", " html"} {
		_, err := ParseFormat(name)
		require.ErrorIs(t, err, ErrFormat)
		require.ErrorContains(t, err, "Expected 'html' or 'markdown'")
	}
	_, err := ParseFormat("pdf")
	require.EqualError(t, err, `textextraction: invalid output_format: "pdf". Expected 'html' or 'markdown'`)

	for _, f := range []Format{-1, 2, 1 << 40} {
		_, err := json.Marshal(f)
		require.ErrorIs(t, err, ErrFormat)
		require.Contains(t, f.String(), "Format(")
		require.Empty(t, f.Prompt())
	}
	f := HTML
	require.ErrorIs(t, f.UnmarshalText([]byte("x")), ErrFormat)
	require.Equal(t, HTML, f, "what cannot be read changes nothing")
}
