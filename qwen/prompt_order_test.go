package qwen

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/chat"
)

// The images come before the text, or after it, in the templates of the families.
func TestPromptOrder(t *testing.T) {
	const image = "<|vision_start|><|image_pad|><|vision_end|>"
	for file, system := range map[string]string{
		"qwen2_vl.jinja": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
		"qwen3_vl.jinja": "",
	} {
		source, err := os.ReadFile(filepath.Join("..", "internal", "chat", "testdata", file))
		require.NoError(t, err)
		template, err := chat.Parse(string(source))
		require.NoError(t, err)
		m := &Model{template: template}
		for _, row := range []struct {
			prompt Prompt
			images int
			want   string
		}{
			{Prompt{Text: "read\n"}, 1, system + "<|im_start|>user\n" + image + "read\n<|im_end|>\n<|im_start|>assistant\n"},
			{Prompt{Text: "read\n", TextFirst: true}, 1, system + "<|im_start|>user\nread\n" + image + "<|im_end|>\n<|im_start|>assistant\n"},
			{
				Prompt{System: "be exact", Text: "read", TextFirst: true}, 2,
				"<|im_start|>system\nbe exact<|im_end|>\n<|im_start|>user\nread" + image + image + "<|im_end|>\n<|im_start|>assistant\n",
			},
		} {
			got, err := m.render(row.prompt, row.images)
			require.NoError(t, err)
			require.Equal(t, row.want, got, "%s, %+v", file, row.prompt)
		}
	}
}
