package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// FromFS finds the chat template of a checkpoint folder, in the order of transformers: chat_template.jinja,
// chat_template.json, and the key chat_template of tokenizer_config.json, where a list of named templates may stand, of
// which "default" is taken.
func FromFS(fsys fs.FS) (*Template, error) {
	data, err := fs.ReadFile(fsys, "chat_template.jinja")
	if err == nil {
		return Parse(string(data))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	for _, name := range []string{"chat_template.json", "tokenizer_config.json"} {
		data, err := fs.ReadFile(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("chat template: %w", err)
		}
		source, err := templateKey(data)
		if err != nil {
			return nil, fmt.Errorf("chat template: %s: %w", name, err)
		}
		if source != "" {
			return Parse(source)
		}
	}
	return nil, errors.New("chat template: the checkpoint has no chat_template.jinja, and no chat_template in chat_template.json or tokenizer_config.json")
}

// templateKey reads the key chat_template of a JSON file; "" where there is none.
func templateKey(data []byte) (string, error) {
	var file struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return "", err
	}
	if len(file.Template) == 0 || string(file.Template) == "null" {
		return "", nil
	}
	var one string
	if json.Unmarshal(file.Template, &one) == nil {
		return one, nil
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(file.Template, &named); err != nil {
		return "", errors.New("chat_template is neither a string nor a list of name and template")
	}
	for _, n := range named {
		if n.Name == "default" {
			return n.Template, nil
		}
	}
	return "", errors.New(`chat_template is a list with no template named "default"`)
}
