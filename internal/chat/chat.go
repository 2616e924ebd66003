// Package chat renders a checkpoint's chat template: messages to the prompt that the model was trained on.
//
// A template is a Jinja program that comes with the weights. It is rendered by gonja, in the settings of transformers
// (trim_blocks, lstrip_blocks, raise_exception). It can read nothing but the messages: no files, no other templates.
package chat

import (
	"errors"
	"fmt"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// Message is one turn of a conversation. Its content is always a list to the template, as processors of vision models
// want it.
type Message struct {
	// Role is "system", "user" or "assistant".
	Role string
	// Content are the pieces of the turn, in order.
	Content []Part
}

// Part is a piece of a message: an image's place, or text.
type Part struct {
	// Type is "image" or "text".
	Type string
	// Text is the text of a text.
	Text string
}

// Template is a parsed chat template. It is immutable and safe for any number of goroutines.
type Template struct{ t *exec.Template }

// Bounds on what a template may cost: the largest one known has 20 KB, and a prompt is a few hundred bytes and the
// user's text.
const (
	maxSource = 1 << 20
	maxOutput = 1 << 26
	maxItems  = 1 << 16
	maxTime   = 5 * time.Second
)

// Parse reads a template.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("chat template: %d bytes, more than the %d that are read", len(source), maxSource)
	}
	defer fence(&err)
	source, err = trimBlocks(source)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	const name = "/chat_template.jinja"
	loader, err := loaders.NewMemoryLoader(map[string]string{name: source})
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	environment := &exec.Environment{
		Context:           exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables).Update(exec.NewContext(functions)),
		Filters:           builtins.Filters,
		Tests:             builtins.Tests,
		ControlStructures: builtins.ControlStructures,
		Methods:           builtins.Methods,
	}
	parsed, err := exec.NewTemplate(name, config.New(), loader, environment)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{parsed}, nil
}

// Render writes the prompt for messages. With addGenerationPrompt it ends where the assistant begins.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (text string, err error) {
	defer fence(&err)
	list := make([]any, len(messages))
	for i, m := range messages {
		content := make([]any, len(m.Content))
		for j, p := range m.Content {
			part := map[string]any{"type": p.Type}
			if p.Type == "text" {
				part["text"] = p.Text
			}
			content[j] = part
		}
		list[i] = map[string]any{"role": m.Role, "content": content}
	}
	b := &budget{deadline: time.Now().Add(maxTime), items: maxItems}
	variables := exec.NewContext(map[string]any{"messages": list, "add_generation_prompt": addGenerationPrompt, "range": b.count})
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer fence(&err)
		err = t.t.Execute(b, variables)
	}()
	select {
	case err = <-done:
	case <-time.After(maxTime + time.Second):
		// gonja cannot be stopped from outside. What it may still write fails at once, and so does each range it counts.
		return "", fmt.Errorf("chat template: it takes more than %s", maxTime)
	}
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return string(b.text), nil
}

// functions are those that transformers gives to templates.
var functions = map[string]any{
	"raise_exception": func(_ *exec.Evaluator, args *exec.VarArgs) (string, error) {
		return "", fmt.Errorf("it refuses the messages: %s", args.First().String())
	},
	"strftime_now": func(*exec.Evaluator, *exec.VarArgs) (string, error) {
		return "", errors.New("strftime_now is not supported: a prompt with the time in it is another one each day")
	},
}

// budget is what one rendering may cost. It collects the text.
type budget struct {
	text     []byte
	deadline time.Time
	items    int
}

func (b *budget) check() error {
	if time.Now().After(b.deadline) {
		return fmt.Errorf("it takes more than %s", maxTime)
	}
	return nil
}

// Write collects text, and fails when there is too much of it or it takes too long.
func (b *budget) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxOutput {
		return 0, fmt.Errorf("it writes more than %d bytes", maxOutput)
	}
	if err := b.check(); err != nil {
		return 0, err
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// count is Python's range, bounded over the whole rendering. gonja's own counts in a goroutine, which outlives a loop that
// is left early.
func (b *budget) count(_ *exec.Evaluator, args *exec.VarArgs) ([]int, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	bounds := []int{0, 0, 1}
	for i, a := range args.Args {
		if i >= len(bounds) || !a.IsInteger() {
			return nil, errors.New("range wants one to three integers")
		}
		bounds[i] = a.Integer()
	}
	if len(args.Args) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	var list []int
	for i := bounds[0]; bounds[2] > 0 && i < bounds[1] || bounds[2] < 0 && i > bounds[1]; i += bounds[2] {
		if b.items--; b.items < 0 {
			return nil, fmt.Errorf("its ranges have more than %d items", maxItems)
		}
		list = append(list, i)
	}
	return list, nil
}

// fence turns a panic of the library into an error: a template is a stranger's.
func fence(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("chat template: %v", r)
	}
}
