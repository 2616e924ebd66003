// Package chat renders a checkpoint's chat template: messages to the prompt that the model was trained on.
//
// A template is a Jinja program that comes with the weights, so it is run as what it is, a stranger's code: it can
// read nothing but the messages, and the work it may do is bounded. It is rendered as transformers renders it
// (trim_blocks, lstrip_blocks, its raise_exception, strftime_now and tojson), to the byte. What this package does not
// know of Jinja is an error of [Parse] that names it and its line, never a silent difference.
//
// Known are: output, if, for (with else, a condition, break, continue, loop), set (also of several names, of a
// namespace's attribute, of a block), macro, with, raw, generation, comments; all operators; slices; the tests, the
// filters and the methods of strings and mappings that chat templates use.
package chat

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Message is one turn of a conversation. Its content is always a list to the template, as processors of vision
// models want it.
type Message struct {
	Role    string // "system", "user", "assistant"
	Content []Part
}

// Part is a piece of a message: an image's place, or text.
type Part struct {
	Type string // "image" or "text"
	Text string // of a text
}

// Template is a parsed chat template. It is immutable and safe for any number of goroutines.
type Template struct {
	body   stmt
	source int // bytes
	now    func() time.Time
}

const (
	maxSource = 1 << 20  // bytes of a template; the largest known is 20 KB
	workBase  = 16 << 20 // units of work for a rendering, about half a second
	workByte  = 256      // and for each byte of the messages and the template
)

// Parse reads a template. Its errors name the line and what is wrong or not supported there.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("chat: a template of %d bytes is larger than the %d that are read", len(source), maxSource)
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("chat: parsing the template: %w", recovered(r))
		}
	}()
	p := &parser{tokens: lex(source)}
	body, _ := p.body()
	return &Template{body: body, source: len(source), now: time.Now}, nil
}

// Render returns the prompt for messages, with the opening of the assistant's turn at its end if
// addGenerationPrompt is set.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	return t.RenderWith(messages, addGenerationPrompt, nil)
}

// RenderWith is [Template.Render] with more variables for the template, such as enable_thinking: strings, booleans
// and integers.
func (t *Template) RenderWith(messages []Message, addGenerationPrompt bool, variables map[string]any) (prompt string, err error) {
	st := &state{out: &strings.Builder{}, left: workBase + workByte*t.source}
	defer func() {
		if r := recover(); r != nil {
			prompt, err = "", fmt.Errorf("chat: rendering the template: %w", recovered(r))
		}
	}()
	root := newScope(nil)
	maps.Copy(root.vars, globals(t.now))
	sc := newScope(root)
	for name, v := range variables {
		switch v.(type) {
		case string, bool, int:
			sc.vars[name] = v
		default:
			return "", fmt.Errorf("chat: the variable %s is a %T; a string, a bool or an int is wanted", name, v)
		}
	}
	list, size, err := converted(messages)
	if err != nil {
		return "", err
	}
	st.left += workByte * size
	maps.Copy(sc.vars, map[string]any{
		"messages": list, "add_generation_prompt": addGenerationPrompt, "tools": nil, "documents": nil,
	})
	t.body(st, sc)
	return st.out.String(), nil
}

// converted is what the template sees of messages, and how many bytes that is.
func converted(messages []Message) (*list, int, error) {
	all, size := &list{}, 0
	for i, m := range messages {
		content := &list{}
		for j, p := range m.Content {
			switch p.Type {
			case "image":
				// Templates ask for the type or for the key; none prints the value.
				content.items = append(content.items, newDict("type", "image", "image", "<image>"))
			case "text":
				content.items = append(content.items, newDict("type", "text", "text", p.Text))
			default:
				return nil, 0, fmt.Errorf("chat: message %d, part %d: type %q is not \"image\" or \"text\"", i, j, p.Type)
			}
			size += 64 + len(p.Text)
		}
		all.items = append(all.items, newDict("role", m.Role, "content", content))
		size += 64 + len(m.Role)
	}
	return all, size, nil
}

// recovered is the error of a panic: one of the package's own, or a fault in it, which must not reach the caller as
// a panic because templates come from strangers.
func recovered(r any) error {
	switch r := r.(type) {
	case syntaxError:
		return r.error
	case renderError:
		return r.error
	case error:
		return fmt.Errorf("internal error: %w", r)
	}
	return errors.New("internal error: " + fmt.Sprint(r))
}
