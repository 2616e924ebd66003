package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxFile bounds what is read of a file in a checkpoint; tokenizer_config.json is the largest, of some 10 KB.
const maxFile = 16 << 20

// ErrNoTemplate says that a checkpoint has no chat template.
var ErrNoTemplate = errors.New("no chat template")

// FromFS finds and parses the chat template of a checkpoint's folder. The places, in the order in which transformers
// prefers them: "chat_template" in processor_config.json, chat_template.json (the older form), chat_template.jinja,
// "chat_template" in tokenizer_config.json. Where a file has several templates by name, it is the one named
// "default". A folder without one gives [ErrNoTemplate].
func FromFS(fsys fs.FS) (*Template, error) {
	for _, name := range []string{"processor_config.json", "chat_template.json", "chat_template.jinja", "tokenizer_config.json"} {
		source, found, err := sourceIn(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("chat: %s: %w", name, err)
		}
		if !found {
			continue
		}
		t, err := Parse(source)
		if err != nil {
			return nil, fmt.Errorf("chat: %s: %w", name, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("chat: %w: there is neither chat_template.jinja nor chat_template.json, "+
		"nor \"chat_template\" in tokenizer_config.json or processor_config.json", ErrNoTemplate)
}

// sourceIn returns the template in one file, and whether the file is there and has one.
func sourceIn(fsys fs.FS, name string) (source string, found bool, err error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", false, err
	}
	if len(data) > maxFile {
		return "", false, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	if name == "chat_template.jinja" {
		return string(data), true, nil
	}
	var config struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", false, err
	}
	if len(config.ChatTemplate) == 0 || string(config.ChatTemplate) == "null" {
		return "", false, nil
	}
	source, err = named(config.ChatTemplate)
	return source, err == nil, err
}

// named is a template given as a string, or the default of several: [{"name": …, "template": …}] or {name: template}.
func named(data json.RawMessage) (string, error) {
	var one string
	if json.Unmarshal(data, &one) == nil {
		return one, nil
	}
	templates := map[string]string{}
	if json.Unmarshal(data, &templates) != nil {
		var several []struct{ Name, Template string }
		if json.Unmarshal(data, &several) != nil {
			return "", errors.New("chat_template is neither a string nor a list of templates with names")
		}
		for _, t := range several {
			templates[t.Name] = t.Template
		}
	}
	source, ok := templates["default"]
	if !ok {
		return "", errors.New("chat_template holds several templates and none is named \"default\"")
	}
	return source, nil
}
