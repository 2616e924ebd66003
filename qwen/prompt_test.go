package qwen_test

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// Qwen3.5's template opens a thought unless it is told not to. A page's text is to be read, so the prompt closes it.
func TestPromptClosesThoughts(t *testing.T) {
	files := withConfig(t, os.DirFS("testdata/golden/qwen3_vl"), nil).(fstest.MapFS)
	template, err := os.ReadFile("../internal/chat/testdata/qwen3_5.jinja")
	require.NoError(t, err)
	files["chat_template.jinja"] = &fstest.MapFile{Data: template}
	m := loadModel(t, openDevice(t).Runtime(), files)
	layout, err := m.Layout(qwen.Prompt{System: "Be brief.", Text: "Read the page."}, []qwen.Grid{{Height: 2, Width: 4}, {Height: 2, Width: 2}})
	require.NoError(t, err)
	const image = "<|image_pad|>"
	require.Equal(t, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<|vision_start|>"+image+image+"<|vision_end|><|vision_start|>"+
		image+"<|vision_end|>Read the page.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", m.Tokenizer.Decode(layout.IDs, false))
}
