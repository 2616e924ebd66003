package chat_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/chat"
)

var page = []chat.Message{{Role: "user", Content: []chat.Part{{Type: "image"}, {Type: "text", Text: "Read it."}}}}

// TestBounds: a template is a stranger's program. Whatever it does, it ends soon, in an error.
func TestBounds(t *testing.T) {
	long := strings.Repeat
	for name, source := range map[string]string{
		"nested loops":     long("{% for x in range(100000) %}", 6) + "x" + long("{% endfor %}", 6),
		"doubling":         "{% set ns = namespace(s='ab') %}{% for x in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"doubled lists":    "{% set ns = namespace(s=[1]) %}{% for x in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"repeated text":    "{{ 'abcdefgh' * 1000000000000000 }}",
		"repeated lists":   "{{ [1] * 1000000000000000 }}",
		"replaced":         "{% set ns = namespace(s='aa') %}{% for x in range(60) %}{% set ns.s = ns.s.replace('a', 'aaaa') %}{% endfor %}",
		"joined":           "{% set ns = namespace(s='aa') %}{% for x in range(60) %}{% set ns.s = ns.s|join(ns.s) %}{% endfor %}",
		"searched":         "{% set s = 'a' * 1000000 %}{% for x in range(100000) %}{% if 'b' in s or s.count('b') or s.split('b')|length == 9 %}x{% endif %}{% endfor %}",
		"equal":            "{% set s = [1] * 100000 %}{% for x in range(100000) %}{% if s == s %}{% endif %}{% endfor %}",
		"recursion":        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"branching":        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(150) }}",
		"nested values":    "{% set ns = namespace(s=[]) %}{% for x in range(100000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
		"nested JSON":      "{% set ns = namespace(s=[]) %}{% for x in range(100000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s|tojson }}",
		"nested, equal":    "{% set ns = namespace(s=[], t=[]) %}{% for x in range(1000) %}{% set ns.s = [ns.s] %}{% set ns.t = [ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
		"a namespace":      "{% set ns = namespace() %}{% set ns.s = ns %}{{ ns }}",
		"in itself":        "{% set ns = namespace() %}{% set ns.s = [ns] %}{{ ns.s|tojson }}",
		"parentheses":      "{{ " + long("(", 100000) + "1" + long(")", 100000) + " }}",
		"brackets":         "{{ " + long("[", 100000) + "1" + long("]", 100000) + " }}",
		"negations":        "{{ " + long("- ", 100000) + "1 }}",
		"nots":             "{{ " + long("not ", 100000) + "1 }}",
		"blocks":           long("{% if true %}", 10000) + long("{% endif %}", 10000),
		"elifs":            "{% if 0 %}" + long("{% elif 0 %}", 10000) + "{% endif %}",
		"conditions":       "{{ " + long("1 if 0 else ", 10000) + "2 }}",
		"large":            long(" ", 2<<20),
		"JSON with indent": "{% set ns = namespace(s=[]) %}{% for x in range(190) %}{% set ns.s = [ns.s] * 3 %}{% endfor %}{{ ns.s|tojson(indent=16) }}",
		"power":            "{{ 9 ** 9 ** 9 }}",
		"overflow":         "{{ 9007199254740993 * 9007199254740993 }}",
		"time":             "{{ strftime_now('%Q') }}",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			template, err := chat.Parse(source)
			if err == nil {
				_, err = template.Render(page, true)
			}
			require.ErrorContains(t, err, "chat: ")
			require.NotContains(t, err.Error(), "internal error")
			require.Less(t, len(err.Error()), 500)
			require.Less(t, time.Since(start), 20*time.Second, "minutes would be a template that is not bounded")
		})
	}
}

// TestLongText: bounds are on the template's work, not on the length of what it is given.
func TestLongText(t *testing.T) {
	template, err := chat.FromFS(os.DirFS("testdata/checkpoint"))
	require.NoError(t, err)
	words := strings.Repeat("many words ", 1<<19)
	got, err := template.Render([]chat.Message{{Role: "user", Content: []chat.Part{{Type: "text", Text: words}}}}, false)
	require.NoError(t, err)
	require.Equal(t, "<|im_start|>user\n"+words+"<|im_end|>\n", got)
}

func TestLongChains(t *testing.T) {
	template, err := chat.Parse("{{ " + strings.Repeat("1 + ", 10000) + "1 }}{{ 1" + strings.Repeat("|string", 10000) + " }}")
	require.NoError(t, err)
	got, err := template.Render(nil, false)
	require.NoError(t, err)
	require.Equal(t, "100011", got)
}

func TestRenderRefuses(t *testing.T) {
	template, err := chat.Parse("{{ messages|length }}")
	require.NoError(t, err)
	_, err = template.Render([]chat.Message{{Role: "user", Content: []chat.Part{{Type: "text"}, {Type: "video"}}}}, true)
	require.ErrorContains(t, err, `message 0, part 1: type "video"`)
	_, err = template.RenderWith(nil, true, map[string]any{"x": 1.5})
	require.ErrorContains(t, err, "the variable x is a float64")
	got, err := template.RenderWith(nil, true, map[string]any{"x": true, "messages": "hidden"})
	require.NoError(t, err)
	require.Equal(t, "0", got, "a variable cannot stand in for the messages")
	_, err = chat.Parse("a\nb\n{% if x %}\n{{ y + }}")
	require.ErrorContains(t, err, "line 4")
	template, err = chat.Parse("a\n\n{{ none.x.y }}")
	require.NoError(t, err)
	_, err = template.Render(nil, true)
	require.ErrorContains(t, err, "line 3")
}

func TestTime(t *testing.T) {
	template, err := chat.Parse("{{ strftime_now('%Y-%m-%d %% %B') }}")
	require.NoError(t, err)
	before := time.Now().Format("2006-01-02 % January")
	got, err := template.Render(nil, false)
	require.NoError(t, err)
	require.Contains(t, []string{before, time.Now().Format("2006-01-02 % January")}, got)
}

// TestConcurrent: one template, many goroutines (run with -race).
func TestConcurrent(t *testing.T) {
	source, err := os.ReadFile("testdata/qwen3_5.jinja")
	require.NoError(t, err)
	template, err := chat.Parse(string(source))
	require.NoError(t, err)
	want, err := template.Render(page, true)
	require.NoError(t, err)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			for range 50 {
				got[i], _ = template.Render(page, true)
			}
		})
	}
	wg.Wait()
	for _, g := range got {
		require.Equal(t, want, g)
	}
}

func TestFromFS(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	jinja, jsonFile, config, processor := file("jinja"), file(`{"chat_template": "json"}`), file(`{"chat_template": "config", "x": 1}`), file(`{"chat_template": "processor"}`)
	for name, c := range map[string]struct {
		fsys fstest.MapFS
		want string
	}{
		"all":            {fstest.MapFS{"chat_template.jinja": jinja, "chat_template.json": jsonFile, "tokenizer_config.json": config, "processor_config.json": processor}, "processor"},
		"no processor":   {fstest.MapFS{"chat_template.jinja": jinja, "chat_template.json": jsonFile, "tokenizer_config.json": config, "processor_config.json": file(`{"chat_template": null}`)}, "json"},
		"jinja":          {fstest.MapFS{"chat_template.jinja": jinja, "tokenizer_config.json": config}, "jinja"},
		"config":         {fstest.MapFS{"tokenizer_config.json": config, "processor_config.json": file(`{}`)}, "config"},
		"several":        {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": [{"name": "rag", "template": "a"}, {"name": "default", "template": "b"}]}`)}, "b"},
		"several, named": {fstest.MapFS{"processor_config.json": file(`{"chat_template": {"default": "b", "rag": "a"}}`)}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			template, err := chat.FromFS(c.fsys)
			require.NoError(t, err)
			got, err := template.Render(nil, false)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for name, c := range map[string]struct {
		fsys fstest.MapFS
		want []string
	}{
		"none":       {fstest.MapFS{"tokenizer_config.json": file(`{}`)}, []string{"no chat template", "chat_template.jinja"}},
		"not JSON":   {fstest.MapFS{"chat_template.json": file(`{`)}, []string{"chat_template.json"}},
		"no default": {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": [{"name": "rag", "template": "a"}]}`)}, []string{"tokenizer_config.json", "default"}},
		"a number":   {fstest.MapFS{"tokenizer_config.json": file(`{"chat_template": 5}`)}, []string{"tokenizer_config.json", "neither"}},
		"broken":     {fstest.MapFS{"chat_template.jinja": file("\n{% if %}")}, []string{"chat_template.jinja", "line 2"}},
		"a folder":   {fstest.MapFS{"chat_template.jinja/x": jinja}, []string{"chat_template.jinja"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := chat.FromFS(c.fsys)
			for _, part := range c.want {
				require.ErrorContains(t, err, part)
			}
			if name == "none" {
				require.ErrorIs(t, err, chat.ErrNoTemplate)
			}
		})
	}
}

// FuzzRender: no template makes Parse or Render panic, and none runs for long.
func FuzzRender(f *testing.F) {
	for _, file := range []string{"chatml", "qwen2_vl", "qwen3_vl", "qwen3_5"} {
		source, err := os.ReadFile("testdata/" + file + ".jinja")
		require.NoError(f, err)
		f.Add(string(source))
	}
	for _, source := range []string{"{% raw %}{{{% endraw %}", "{{ 'a'[1:][::-1]|tojson(indent=1) }}", "{% for a, b in {}.items() if a %}{% endfor %}", "{% set (a, b) = 1 %}{# #}"} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		template, err := chat.Parse(source)
		if err == nil {
			_, err = template.Render(page, true)
		}
		if err != nil {
			require.NotContains(t, err.Error(), "internal error")
		}
	})
}

func BenchmarkRender(b *testing.B) {
	source, err := os.ReadFile("testdata/qwen3_5.jinja")
	if err != nil {
		b.Fatal(err)
	}
	template, err := chat.Parse(string(source))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := template.Render(page, true); err != nil {
			b.Fatal(err)
		}
	}
}
