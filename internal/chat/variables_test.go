package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/chat"
)

// The rows with variables of the template's own, to the byte.
func TestTemplateVariables(t *testing.T) {
	data, err := os.ReadFile("testdata/rows.json")
	require.NoError(t, err)
	var r rows
	require.NoError(t, json.Unmarshal(data, &r))
	compared, changed := 0, 0
	for _, row := range r.Templates {
		var file, name string
		var prompt bool
		var variables map[string]any
		var want *string
		for i, into := range []any{&file, &name, &prompt, &variables, &want} {
			require.NoError(t, json.Unmarshal(row[i], into))
		}
		if len(variables) == 0 || file == "qwen3_5.jinja" { // as in TestTemplates
			continue
		}
		var messages []chat.Message
		for _, turn := range r.Chats[name] {
			messages = append(messages, chat.Message{Role: turn.Role, Content: turn.Content})
		}
		source, err := os.ReadFile(filepath.Join("testdata", file))
		require.NoError(t, err)
		template, err := chat.Parse(string(source))
		require.NoError(t, err, file)
		got, err := template.RenderWith(messages, prompt, variables)
		compared++
		if want == nil {
			require.Error(t, err, "%s, %s", file, name)
			continue
		}
		require.NoError(t, err, "%s, %s", file, name)
		require.Equal(t, *want, got, "%s, %s, %v", file, name, variables)
		if without, err := template.Render(messages, prompt); err == nil && without != got {
			changed++
		}
	}
	require.Positive(t, compared)
	require.Positive(t, changed, "no variable was read")
}
