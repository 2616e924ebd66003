package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

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
	// Expressions are small templates: source, chat, text or null.
	Expressions [][3]json.RawMessage
}

func readRows(t *testing.T) rows {
	t.Helper()
	data, err := os.ReadFile("testdata/rows.json")
	require.NoError(t, err)
	var r rows
	require.NoError(t, json.Unmarshal(data, &r))
	return r
}

func (r rows) chat(name string) []chat.Message {
	var messages []chat.Message
	for _, turn := range r.Chats[name] {
		messages = append(messages, chat.Message{Role: turn.Role, Content: turn.Content})
	}
	return messages
}

// Templates of the families' shapes, with every kind of conversation, to the byte.
func TestTemplates(t *testing.T) {
	r := readRows(t)
	compared := 0
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
		got, err := template.Render(r.chat(name), prompt, variables)
		compared++
		if want == nil {
			require.Error(t, err, "%s, %s", file, name)
			continue
		}
		require.NoError(t, err, "%s, %s", file, name)
		require.Equal(t, *want, got, "%s, %s, %v", file, name, prompt)
	}
	require.Positive(t, compared)
}

// Small templates with what gonja does not do as Jinja does, and with what only looks like it.
func TestExpressions(t *testing.T) {
	r := readRows(t)
	require.NotEmpty(t, r.Expressions)
	for _, row := range r.Expressions {
		var source, name string
		var want *string
		for i, into := range []any{&source, &name, &want} {
			require.NoError(t, json.Unmarshal(row[i], into))
		}
		var got string
		template, err := chat.Parse(source)
		if err == nil {
			got, err = template.Render(r.chat(name), false, nil)
		}
		if want == nil {
			require.Error(t, err, "%s, %s", source, name)
			continue
		}
		require.NoError(t, err, "%s, %s", source, name)
		require.Equal(t, *want, got, "%s, %s", source, name)
	}
}

var page = []chat.Message{
	{Role: "system", Content: []chat.Part{{Type: "text", Text: "SYS"}}},
	{Role: "user", Content: []chat.Part{{Type: "image"}, {Type: "text", Text: `a <b> "c" {{ 1 }}`}}},
}

// White space as Python's jinja2 3.1 leaves it with trim_blocks and lstrip_blocks.
func TestWhiteSpace(t *testing.T) {
	for source, want := range map[string]string{
		"A\n  {% if true %}\n    B\n  {%+ if true %}\n C {% endif %}\n\n  {% endif +%}\n.": "A\n    B\n   C \n\n.",
		"{# note #}\nx {# y #} z\n":                                       "x  z",
		"{% raw %}{{ no }}\n{% endraw %}\n.":                              "{{ no }}\n.",
		"{% for i in range(3) -%}\n  {{ i }},\n{%- endfor %}":             "0,1,2,",
		"{%- set ns = namespace(a='%}') %}\n{{ ns.a }} {{- \" q \" -}} r": "%} q r",
		"{% for m in messages %}{{ loop.index0 }}{{ m.role | upper }}{% if not loop.last %};{% endif %}{% endfor %}": "0SYSTEM;1USER",
		"  {{ 1 }}\r\n  {% if true %}\r\nx{% endif %}\r\n":                                                           "  1\nx",
		"{{ messages[1].content[1].text }}":                                                                          `a <b> "c" {{ 1 }}`,
	} {
		template, err := chat.Parse(source)
		require.NoError(t, err, source)
		got, err := template.Render(page, true, nil)
		require.NoError(t, err, source)
		require.Equal(t, want, got, source)
	}
}

func TestRefuses(t *testing.T) {
	for source, says := range map[string]string{
		"{% if true %}": "",
		"{{ 1":          "{{ has no }}",
		"{% raw %}x":    "endraw",
		"{{ raise_exception('No images here') }}":     "No images here",
		"{{ strftime_now('%Y') }}":                    "strftime_now",
		"{% for i in range(10000000) %}x{% endfor %}": "ranges have more than",
		"{% include '/etc/passwd' %}":                 "",
		"{% for i in range(60000) %}{% for i in range(60000) %}{% for i in range(60000) %}{% endfor %}{% endfor %}{% endfor %}": "ranges have more than",
		strings.Repeat("x", 1<<20+1): "more than",
	} {
		template, err := chat.Parse(source)
		if err == nil {
			_, err = template.Render(page, true, nil)
		}
		require.ErrorContains(t, err, "chat template")
		require.ErrorContains(t, err, says)
	}
}

func TestFromFS(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for name, test := range map[string]struct {
		files fstest.MapFS
		want  string
		says  string
	}{
		"jinja first":     {fstest.MapFS{"chat_template.jinja": file("a"), "chat_template.json": file(`{"chat_template": "b"}`)}, "a", ""},
		"json":            {fstest.MapFS{"chat_template.json": file(`{"chat_template": "b"}`), "tokenizer_config.json": file(`{"chat_template": "c"}`)}, "b", ""},
		"tokenizer":       {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": "c"}`)}, "c", ""},
		"default of list": {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "d"}]}`)}, "d", ""},
		"no default":      {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": [{"name": "tool", "template": "x"}]}`)}, "", "default"},
		"a number":        {fstest.MapFS{"chat_template.json": file(`{"chat_template": 3}`)}, "", "chat_template.json"},
		"bad JSON":        {fstest.MapFS{"tokenizer_config.json": file(`{`)}, "", "tokenizer_config.json"},
		"none":            {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": null}`)}, "", "no chat_template"},
	} {
		t.Run(name, func(t *testing.T) {
			template, err := chat.FromFS(test.files)
			if test.says != "" {
				require.ErrorContains(t, err, test.says)
				return
			}
			require.NoError(t, err)
			got, err := template.Render(nil, false, nil)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestConcurrently(t *testing.T) {
	source, err := os.ReadFile("testdata/qwen3_vl.jinja")
	require.NoError(t, err)
	template, err := chat.Parse(string(source))
	require.NoError(t, err)
	want, err := template.Render(page, true, nil)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got, err := template.Render(page, true, nil); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// A template may be anything: it costs an error, never a panic.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"chatml", "qwen2_vl", "qwen3_vl", "qwen3_5"} {
		source, err := os.ReadFile("testdata/" + name + ".jinja")
		require.NoError(f, err)
		f.Add(string(source))
	}
	f.Fuzz(func(_ *testing.T, source string) {
		if template, err := chat.Parse(source); err == nil {
			_, _ = template.Render(page, true, nil)
		}
	})
}
