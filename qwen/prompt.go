package qwen

import (
	"fmt"
	"strings"

	"github.com/omnidocs/omnidocs/internal/chat"
)

// Prompt is what the model is asked about its images: a user's turn with the images first and then the text, unless
// TextFirst is set.
type Prompt struct {
	// System is the text of a system turn. Empty means that none is given to the template, which may have its own.
	System string
	// Text is the instruction, for example "qwenvl markdown".
	Text string
	// TextFirst puts the text before the images, as some finetunes were trained.
	TextFirst bool
}

// Layout renders the checkpoint's chat template for a prompt about images of the given grids, puts in an image token for
// each visual token, and computes token ids and positions.
func (m *Model) Layout(prompt Prompt, grids []Grid) (*Layout, error) {
	if strings.Contains(prompt.Text+prompt.System, m.imageToken()) {
		return nil, fmt.Errorf("qwen: the prompt contains %q, which stands for an image: remove it", m.imageToken())
	}
	text, err := m.render(prompt, len(grids))
	if err != nil {
		return nil, fmt.Errorf("qwen: chat template: %w", err)
	}
	parts := strings.Split(text, m.imageToken())
	if len(parts)-1 != len(grids) {
		return nil, fmt.Errorf("qwen: the chat template has %d places for %d images", len(parts)-1, len(grids))
	}
	merge := m.Spec.Vision.MergeSize
	var b strings.Builder
	for i, part := range parts {
		b.WriteString(part)
		if i < len(grids) {
			b.WriteString(strings.Repeat(m.imageToken(), grids[i].Height/merge*(grids[i].Width/merge)))
		}
	}
	ids, err := m.Tokenizer.Encode(b.String())
	if err != nil {
		return nil, fmt.Errorf("qwen: tokenize the prompt: %w", err)
	}
	for _, id := range ids {
		if int(id) >= m.Spec.Text.VocabSize {
			return nil, fmt.Errorf("qwen: the tokenizer has token %d, the model only %d of them: they do not belong together", id, m.Spec.Text.VocabSize)
		}
	}
	l, err := layout(ids, m.Spec.ImageToken, grids, merge)
	if err != nil {
		return nil, fmt.Errorf("qwen: %w", err)
	}
	return l, nil
}

// imageToken is the text of the image token.
func (m *Model) imageToken() string {
	text, _ := m.Tokenizer.Token(m.Spec.ImageToken) // Load has checked that there is one
	return text
}

// chatVariables are what the library asks of a chat template. Templates of models that can think aloud, such as Qwen3.5's, then
// close the thoughts before the answer begins: a page is to be read, and the tokens are to be its text. Others do not look.
var chatVariables = chat.Variables{"enable_thinking": false}

func (m *Model) render(prompt Prompt, images int) (string, error) {
	var messages []chat.Message
	if prompt.System != "" {
		messages = append(messages, chat.Message{Role: "system", Content: []chat.Part{{Type: "text", Text: prompt.System}}})
	}
	var content []chat.Part
	text := chat.Part{Type: "text", Text: prompt.Text}
	if prompt.TextFirst {
		content = append(content, text)
	}
	for range images {
		content = append(content, chat.Part{Type: "image"})
	}
	if !prompt.TextFirst {
		content = append(content, text)
	}
	messages = append(messages, chat.Message{Role: "user", Content: content})
	return m.template.Render(messages, true, chatVariables)
}
