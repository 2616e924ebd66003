package textextraction

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodHead = "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\nis_table: False\nis_diagram: False\n---\n"

func TestFrontMatter(t *testing.T) {
	good := FrontMatter{PrimaryLanguage: "en", IsRotationValid: true}
	with := func(change func(*FrontMatter)) FrontMatter {
		fm := good
		change(&fm)
		return fm
	}
	edit := func(old, new string) string {
		require.Contains(t, goodHead, old)
		return strings.Replace(goodHead, old, new, 1) + "text"
	}
	for _, row := range []struct {
		name, raw, content string
		want               FrontMatter
		problem            string // a part of it; then the content is the answer
	}{
		{"as it should be", goodHead + "# A\n\n\\(x\\) <table></table>\n", "# A\n\n\\(x\\) <table></table>", good, ""},
		{"blank page", goodHead, "", good, ""},
		{"blank page without an end of line", strings.TrimSpace(goodHead), "", good, ""},
		{"null", edit("en", "null"), "text", with(func(fm *FrontMatter) { fm.PrimaryLanguage = "" }), ""},
		{"Norwegian, which YAML takes for false", edit("en", "no"), "text", with(func(fm *FrontMatter) { fm.PrimaryLanguage = "no" }), ""},
		{"quotes", edit("True", `"true"`), "text", good, ""},
		{"lower case", edit("is_table: False", "is_table: true"), "text", with(func(fm *FrontMatter) { fm.IsTable = true }), ""},
		{"diagram", edit("is_diagram: False", "is_diagram: True"), "text", with(func(fm *FrontMatter) { fm.IsDiagram = true }), ""},
		{"turned", edit("True\nrotation_correction: 0", "False\nrotation_correction: 90"), "text",
			with(func(fm *FrontMatter) { fm.IsRotationValid, fm.RotationCorrection = false, 90 }), ""},
		{"other ends of lines", strings.ReplaceAll(edit("en", "de"), "\n", "\r\n"), "text", with(func(fm *FrontMatter) { fm.PrimaryLanguage = "de" }), ""},
		{"a rule in the text", goodHead + "a\n\n---\n\nb", "a\n\n---\n\nb", good, ""},
		{"another order", "---\nis_diagram: False\nis_table: False\nrotation_correction: 0\nis_rotation_valid: true\nprimary_language: en\n---\ntext", "text", good, ""},

		{"no head", "# A\n\ntext", "", FrontMatter{}, "does not begin with a line ---"},
		{"nothing", "", "", FrontMatter{}, "does not begin"},
		{"never ends", strings.TrimSuffix(goodHead, "---\n") + "text", "", FrontMatter{}, `the front matter has no line --- at its end`},
		{"cut in the head", "---\nprimary_lang", "", FrontMatter{}, "no line ---"},
		{"key missing", edit("is_table: False\n", ""), "", FrontMatter{}, "the front matter has no is_table"},
		{"key twice", edit("is_table", "is_diagram"), "", FrontMatter{}, "has is_diagram twice"},
		{"unknown key", edit("is_table: False", "is_table: False\ntitle: A"), "", FrontMatter{}, `has the line "title: A"; its keys are primary_language,`},
		{"no key", edit("is_table: False", "- a"), "", FrontMatter{}, `has the line "- a"`},
		{"not a bool", edit("True", "maybe"), "", FrontMatter{}, `has is_rotation_valid: " maybe", want true or false`},
		{"not a turn", edit("_correction: 0", "_correction: 45"), "", FrontMatter{}, `has rotation_correction: " 45", want 0, 90, 180 or 270`},
		{"not a language", edit("en", "english, mostly"), "", FrontMatter{}, "want the code of a language or null"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustPreset("olmocr2")
			r := p.readAnswer(row.raw, Markdown, Sizes{Width: 10, Height: 10})
			require.NotNil(t, r.FrontMatter)
			require.Equal(t, row.raw, r.RawOutput)
			if row.problem != "" {
				require.Contains(t, r.FrontMatter.Problem, row.problem)
				require.Equal(t, FrontMatter{Problem: r.FrontMatter.Problem}, *r.FrontMatter)
				require.Equal(t, row.raw, r.Content, "no text is lost")
				return
			}
			require.Equal(t, row.want, *r.FrontMatter)
			require.Equal(t, row.content, r.Content)
			require.NotContains(t, r.PlainText, "primary_language")
		})
	}
	p := mustPreset("olmocr2")
	data, err := json.Marshal(p.readAnswer(goodHead+"x", Markdown, Sizes{Width: 1, Height: 1}))
	require.NoError(t, err)
	require.Contains(t, string(data), `"front_matter":{"primary_language":"en","is_rotation_valid":true,"rotation_correction":0,"is_table":false,"is_diagram":false}`)
}

// briefly is what a model said of elements itself.
func briefly(elements []Element) (brief []Element) {
	for _, e := range elements {
		brief = append(brief, Element{Label: e.Label, Content: e.Content, Box: e.Box, Angle: e.Angle})
	}
	return brief
}

func TestLayoutJSON(t *testing.T) {
	block := func(label, content string, box ...int) Element {
		return Element{Label: label, Content: content, Box: [4]int(box)}
	}
	for _, row := range []struct {
		name, raw, content string
		blocks             []Element
	}{
		{"a page", `[{"bbox":[0,0,1000,50],"category":"header","text":"Head"},
{"bbox": [100, 60, 900, 100], "category": "title", "text": "# A *b*"},{"bbox":[1,2,3,4],"category":"figure","text":""},
{"bbox":[0,500,500,1000],"category":"formula","text":"$$\\frac{1}{2}$$"},{"bbox":[0,990,10,1000],"category":"footer","text":"7"},
{"bbox":[0,980,10,990],"category":"page_footnote","text":"1 See"}]`, "# A *b*\n\n$$\\frac{1}{2}$$", []Element{
			block("header", "Head", 0, 0, 2000, 150), block("title", "# A *b*", 200, 180, 1800, 300), block("figure", "", 2, 6, 6, 12),
			block("formula", "$$\\frac{1}{2}$$", 0, 1500, 1000, 3000), block("footer", "7", 0, 2970, 20, 3000),
			block("page_footnote", "1 See", 0, 2940, 20, 2970),
		}},
		{"fence", "```json\n[{\"bbox\":[0,0,1,1],\"category\":\"text\",\"text\":\"a\"}]\n```", "a", []Element{block("text", "a", 0, 0, 2, 3)}},
		{"cut in a text", `[{"bbox":[0,0,1,1],"category":"text","text":"a"},{"bbox":[0,0,1,1],"category":"text","text":"half \"of`, "a\n\nhalf \"of",
			[]Element{block("text", "a", 0, 0, 2, 3), block("text", `half "of`, 0, 0, 2, 3)}},
		{"cut in a box", `[{"bbox":[0,0,1,1],"category":"text","text":"a"},{"bbox":[0,0`, "a", []Element{block("text", "a", 0, 0, 2, 3)}},
		{"backslashes not doubled", `[{"bbox":[0,0,1,1],"category":"formula","text":"\alpha \\beta \u00e9"},{"bbox":[0,0,1,1],"category":"text","text":"b"}]`,
			"\\alpha \\beta é\n\nb", []Element{block("formula", "\\alpha \\beta é", 0, 0, 2, 3), block("text", "b", 0, 0, 2, 3)}},
		{"quote not escaped", `[{"bbox":[0,0,1,1],"category":"text","text":"say "hi" now"}]`, `say "hi" now`, []Element{block("text", `say "hi" now`, 0, 0, 2, 3)}},
		{"quote not escaped, another order", `[{"bbox":[0,0,1,1],"text":"say "hi"","category":"text"}]`, `say "hi"`, []Element{block("text", `say "hi"`, 0, 0, 2, 3)}},
		{"no box", `[{"bbox":[],"category":"text","text":"a"}]`, "a", []Element{{Label: "text", Content: "a"}}},
		{"swapped and out of range", `[{"bbox":[1200,10,-4,0],"category":"text","text":"a"}]`, "a", []Element{block("text", "a", 0, 0, 2000, 30)}},
		{"unknown category", `[{"bbox":[0,0,1,1],"category":"stamp","text":"a"}]`, "a", []Element{block("stamp", "a", 0, 0, 2, 3)}},
		{"empty", `[]`, "", nil},
		{"no JSON", "# A page", "# A page", []Element{{Content: "# A page"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustPreset("infinity2")
			r := p.readAnswer(row.raw, Markdown, Sizes{Width: 2000, Height: 3000})
			require.Equal(t, row.content, r.Content)
			require.Equal(t, row.blocks, briefly(r.Elements))
			require.Equal(t, row.raw, r.RawOutput)
		})
	}
}

func TestLayoutTokens(t *testing.T) {
	raw := "<|box_start|>100 050 900 100<|box_end|><|ref_start|>title<|ref_end|><|rotate_up|>\n" +
		"<|box_start|>900 200 100 300<|box_end|><|ref_start|>text<|ref_end|><|rotate_right|>txt_contd_tgt\n" +
		"<|box_start|>1 1 1 300<|box_end|><|ref_start|>text<|ref_end|>\n" + // no area
		"<|box_start|>1 1 1001 300<|box_end|><|ref_start|>text<|ref_end|>\n" + // outside
		"<|box_start|>1 1 10 10<|box_end|><|ref_start|>inline_formula<|ref_end|>\n" +
		"<|box_start|>0 500 1000 1000<|box_end|><|ref_start|>Unknown<|ref_end|><|rotate_left|>\n" +
		"<|box_start|>1 2 3"
	p := mustPreset("mineru25-layout")
	r := p.readAnswer(raw, Markdown, Sizes{Width: 2000, Height: 1000})
	require.Equal(t, []Element{
		{Label: "title", Box: [4]int{200, 50, 1800, 100}},
		{Label: "text", Box: [4]int{200, 200, 1800, 300}, Angle: 90},
		{Label: "image", Box: [4]int{0, 500, 2000, 1000}, Angle: 270},
	}, briefly(r.Elements))
	require.Equal(t, raw, r.Content)
}

// Presets whose answers are only cleaned give what there was before presets.
func TestPresetsThatClean(t *testing.T) {
	raw := "# A\n<!-- Image (1, 2, 3, 4) -->\n<page_number>3</page_number> <img>A boat</img>"
	for _, name := range []string{"qwen3vl", "rolmocr", "nanonets2", "firered", "mineru25"} {
		p := mustPreset(name)
		require.Equal(t, NewExtractResult(raw, Markdown), p.readAnswer(raw, Markdown, Sizes{}), name)
	}
	var none *Preset
	require.Equal(t, NewExtractResult(raw, HTML), none.readAnswer(raw, HTML, Sizes{}))
}
