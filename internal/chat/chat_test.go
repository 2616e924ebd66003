package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/chat"
)

// rows are what transformers rendered (testdata/make_rows.py).
type rows struct {
	Chats map[string][]struct {
		Role    string
		Content []chat.Part
	}
	Templates [][5]json.RawMessage // file, chat, add_generation_prompt, variables, text or null
	Pieces    [][2]*string         // template, text or null
}

func readRows(t *testing.T) (rows, map[string][]chat.Message) {
	t.Helper()
	data, err := os.ReadFile("testdata/rows.json")
	require.NoError(t, err)
	var r rows
	require.NoError(t, json.Unmarshal(data, &r))
	chats := map[string][]chat.Message{}
	for name, turns := range r.Chats {
		for _, turn := range turns {
			chats[name] = append(chats[name], chat.Message{Role: turn.Role, Content: turn.Content})
		}
	}
	return r, chats
}

// TestTemplates renders templates of the families' shapes, with every kind of conversation.
func TestTemplates(t *testing.T) {
	r, chats := readRows(t)
	require.Len(t, r.Templates, 4*8*2*3)
	for _, row := range r.Templates {
		var file, name string
		var prompt bool
		var variables map[string]any
		var want *string
		for i, into := range []any{&file, &name, &prompt, &variables, &want} {
			require.NoError(t, json.Unmarshal(row[i], into))
		}
		source, err := os.ReadFile(filepath.Join("testdata", file))
		require.NoError(t, err)
		template, err := chat.Parse(string(source))
		require.NoError(t, err, file)
		got, err := template.RenderWith(chats[name], prompt, variables)
		if want == nil {
			require.Error(t, err, "%s, %s", file, name)
			require.Empty(t, got)
			continue
		}
		require.NoError(t, err, "%s, %s", file, name)
		require.Equal(t, *want, got, "%s, %s, %v, %v", file, name, prompt, variables)
	}
}

// refused are the pieces that jinja2 renders and this package, on purpose, does not.
var refused = map[string]string{
	"{#":                "a comment {# without #}",
	"{{ 1[1:] }}":       "an integer cannot be sliced",
	"{{ 'abc'['a':] }}": "a string as the bound of a slice",
}

// TestPieces goes through the language, piece by piece.
func TestPieces(t *testing.T) {
	r, chats := readRows(t)
	require.Greater(t, len(r.Pieces), 400)
	for _, row := range r.Pieces {
		source, want := *row[0], row[1]
		template, err := chat.Parse(source)
		got := ""
		if err == nil {
			got, err = template.Render(chats["turns"], true)
		}
		reason, isRefused := refused[source]
		switch {
		case isRefused:
			require.ErrorContains(t, err, reason, "%q", source)
		case want == nil:
			require.Error(t, err, "%q gives %q", source, got)
			require.True(t, strings.HasPrefix(err.Error(), "chat: "), err)
			require.NotContains(t, err.Error(), "internal error", "%q", source)
		default:
			require.NoError(t, err, "%q", source)
			require.Equal(t, *want, got, "%q", source)
		}
	}
}
