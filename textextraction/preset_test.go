package textextraction

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// promptSums are the lengths, in code points, and the starts of the SHA-256 of the prompts that the models' own code has.
var promptSums = []struct {
	preset string
	format Format
	length int
	sum    string
}{
	{"chandra1", Markdown, 1827, "3cdbeed4e2b1"}, {"chandra1", HTML, 1827, "3cdbeed4e2b1"},
	{"chandra2", Markdown, 2161, "025935f3e1de"}, {"chandra2", HTML, 2161, "025935f3e1de"},
	{"chandra2-plain", Markdown, 1654, "5bddc652e7f3"}, {"chandra2-plain", HTML, 1654, "5bddc652e7f3"},
	{"olmocr2", Markdown, 557, "c12f21aca8c6"},
	{"rolmocr", Markdown, 91, "48b131fe1a35"},
	{"nanonets-s", Markdown, 582, "f8f1002a2fe8"}, {"nanonets2", Markdown, 582, "f8f1002a2fe8"},
	{"firered", Markdown, 1544, "e9ecb7425bd2"},
	{"infinity2", Markdown, 838, "a1c4c81e3bce"}, {"infinity2-md", Markdown, 1279, "2bb52221db4a"},
	{"infinity1", Markdown, 1288, "ff599b1e17f9"},
}

func TestPresetPrompts(t *testing.T) {
	long := 0
	for _, p := range Presets() {
		for f := range formats {
			if len(p.Prompts.Of(Format(f))) > 60 {
				long++
			}
		}
	}
	require.Len(t, promptSums, long, "every long prompt has its sum")
	for _, row := range promptSums {
		p, err := LookupPreset(row.preset)
		require.NoError(t, err)
		prompt := p.Prompts.Of(row.format)
		sum := sha256.Sum256([]byte(prompt))
		require.Equal(t, row.sum, hex.EncodeToString(sum[:6]), "%s, %s", row.preset, row.format)
		require.Equal(t, row.length, utf8.RuneCountInString(prompt), "%s, %s", row.preset, row.format)
	}
	for _, row := range []struct{ preset, markdown, html string }{
		{"qwen3vl", "qwenvl markdown", "qwenvl html"},
		{"qwen25vl", "qwenvl markdown", "qwenvl html"},
		{"qwen25vl-html", "", "QwenVL HTML "},
		{"mineru25", "\nText Recognition:", ""},
		{"mineru25-layout", "\nLayout Detection:", ""},
		{"logics-v2", "QwenVL HTML", "QwenVL HTML"},
	} {
		p, err := LookupPreset(row.preset)
		require.NoError(t, err)
		require.Equal(t, Prompts{Markdown: row.markdown, HTML: row.html}, p.Prompts, row.preset)
	}
	for f := range formats { // the base preset asks as the extractor without presets does
		require.Equal(t, Format(f).Prompt(), mustPreset(basePreset).Prompts.Of(Format(f)))
	}
}

// What the models were trained with, beside their prompts.
func TestPresetTable(t *testing.T) {
	textFirst := map[string]bool{"qwen25vl-html": true, "olmocr2": true}
	boxes := map[string]BoxSpace{
		"qwen3vl": Boxes1000, "qwen25vl": BoxesResized, "qwen25vl-html": BoxesResized, "chandra1": Boxes1024, "chandra2": Boxes1000,
		"chandra2-plain": Boxes1000, "mineru25-layout": Boxes1000, "logics-v2": Boxes1000, "infinity2": Boxes1000,
	}
	tokens := map[string]int{
		"chandra1": 12384, "chandra2": 12384, "chandra2-plain": 12384, "olmocr2": 8000, "rolmocr": 4096, "nanonets-s": 15000,
		"nanonets2": 15000, "firered": 8192, "logics-v2": 16384, "infinity2": 32768, "infinity2-md": 32768, "infinity1": 4096,
	}
	stops := map[string][]string{"chandra2": {"<|im_end|>"}, "chandra2-plain": {"<|im_end|>"}}
	for _, p := range Presets() {
		require.Equal(t, textFirst[p.Name], p.TextFirst, p.Name)
		require.Equal(t, boxes[p.Name], p.Boxes, p.Name)
		require.Equal(t, tokens[p.Name], p.MaxNewTokens, p.Name)
		require.Equal(t, stops[p.Name], p.Stops, p.Name)
	}
	for name, want := range map[string]Sampling{
		"olmocr2": {Temperature: 0.1}, "rolmocr": {Temperature: 0.2}, "logics-v2": {Temperature: 0.1, TopP: 0.5}, "chandra2": {},
	} {
		require.Equal(t, want, mustPreset(name).sampling(), name)
	}
}

func TestPresetFor(t *testing.T) {
	for model, want := range map[string]string{
		"":                                    "qwen3vl",
		"Qwen/Qwen3-VL-8B-Instruct":           "qwen3vl",
		"Qwen/Qwen2.5-VL-7B-Instruct":         "qwen25vl",
		TinyModel:                             "qwen3vl",
		"someone/unknown":                     "qwen3vl",
		"datalab-to/chandra":                  "chandra1",
		"datalab-to/chandra@main":             "chandra1",
		"datalab-to/chandra-ocr-2":            "chandra2",
		"someone/chandra-ocr-2-FP8":           "chandra2",
		"allenai/olmOCR-2-7B-1025":            "olmocr2",
		"allenai/olmOCR-2-7B-1025-FP8":        "olmocr2",
		"ALLENAI/OLMOCR-2-7B-1025":            "olmocr2",
		"reducto/RolmOCR":                     "rolmocr",
		"nanonets/Nanonets-OCR-s":             "nanonets-s",
		"nanonets/Nanonets-OCR2-3B":           "nanonets2",
		"nanonets/Nanonets-OCR2-1.5B-exp":     "nanonets2",
		"opendatalab/MinerU2.5-2509-1.2B":     "mineru25",
		"opendatalab/MinerU2.5-Pro-2605-1.2B": "mineru25",
		"FireRedTeam/FireRed-OCR":             "firered",
		"Logics-MLLM/Logics-Parsing-v2":       "logics-v2",
		"infly/Infinity-Parser2-Pro":          "infinity2",
		"infly/Infinity-Parser2-Flash":        "infinity2",
		"infly/Infinity-Parser-7B":            "infinity1",
		"/models/olmOCR-2-7B-1025/":           "olmocr2",
		"./RolmOCR":                           "rolmocr",
		"/c/models--datalab-to--chandra-ocr-2/snapshots/0123abc": "chandra2",
		"/models/chandra/checkpoint-7":                           "qwen3vl",
	} {
		require.Equal(t, want, PresetFor(model).Name, model)
	}
	for config, want := range map[string]string{
		`{"model_type":"qwen2_5_vl","_name_or_path":"reducto/RolmOCR"}`:             "rolmocr",
		`{"model_type":"qwen2_5_vl","_name_or_path":"Qwen/Qwen2.5-VL-7B-Instruct"}`: "qwen25vl",
		`{"model_type":"qwen2_5_vl"}`:                                               "qwen25vl",
		`{"model_type":"qwen3_5","_name_or_path":"/tmp/x"}`:                         "qwen3vl",
		`{"model_type":"llama"}`:                                                    "qwen3vl",
		`{`:                                                                         "qwen3vl",
	} {
		require.Equal(t, want, PresetForConfig([]byte(config)).Name, config)
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
		require.Equal(t, want, PresetFor(dir).Name, config)
	}
}

func TestLookupPreset(t *testing.T) {
	p, err := LookupPreset("chandra2")
	require.NoError(t, err)
	p.Stops[0], p.Models[0] = "changed", "changed"
	again, err := LookupPreset("chandra2")
	require.NoError(t, err)
	require.Equal(t, []string{"<|im_end|>"}, again.Stops, "the table is not the caller's")
	require.NotContains(t, again.Models, "changed")
	_, err = LookupPreset("chandra3")
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `there is no preset "chandra3"; there are qwen3vl, qwen25vl, `)
}

func TestPresetTableIsStrict(t *testing.T) {
	for _, row := range []struct{ table, want string }{
		{`[{"name":"a","prompts":{"markdown":"x"}}]`, ""},
		{`[{"name":"a","prompts":{"markdown":"x"},"longest_side":9}]`, `unknown field "longest_side"`},
		{`[{"name":"a","prompts":{"json":"x"}}]`, `unknown field "json"`},
		{`[{"name":"a","prompts":{"markdown":"x"},"page_size":{"side":1}}]`, `unknown field "side"`},
		{`[{"name":"a","prompts":{"markdown":"x"}},{"name":"a","prompts":{"html":"x"}}]`, `two presets are named "a"`},
		{`[{"prompts":{"markdown":"x"}}]`, `Preset "": Name: "" is empty`},
		{`[{"name":"a"}]`, `Prompts: "" has no prompt for any format`},
		{`[{"name":"a","prompts":{"markdown":"x"},"boxes":"0-999"}]`, `Boxes: "0-999" is not one of "", "0-1000", "0-1024", "resized"`},
		{`[{"name":"a","prompts":{"markdown":"x"},"parser":"xml"}]`, `Parser: "xml" is not one of "", "front_matter", "layout_html"`},
		{`[{"name":"a","prompts":{"markdown":"x"},"parser":"layout_html"}]`, `Boxes: "" is not a space that parser "layout_html" can scale`},
		{`[{"name":"a","prompts":{"markdown":"x"},"parser":"layout_json","boxes":"resized"}]`, `Boxes: "resized" is not a space`},
		{`[{"name":"a","prompts":{"markdown":"x"},"max_new_tokens":100}]`, "MaxNewTokens: 100 is outside 256 to 32768"},
		{`[{"name":"a","prompts":{"markdown":"x"},"temperature":3}]`, "Temperature: 3 is outside 0 to 2"},
		{`[{"name":"a","prompts":{"markdown":"x"},"min_pixels":9,"max_pixels":8}]`, "MinPixels: 9 is more than MaxPixels, 8"},
		{`[{"name":"a","prompts":{"markdown":"x"},"models":["a/[b"]}]`, `Models: "a/[b" is no id and no pattern`},
		{`[{"name":"a","prompts":{"markdown":"x"},"stops":[""]}]`, `Stops: "" is no token`},
		{`[{"name":"a","prompts":{"markdown":"x"},"page_size":{"longest_side":9000}}]`, "PageSize.LongestSide: 9000 is outside 0 to 8192"},
		{`[{"name":"a","prompts":{"markdown":"x"},"page_size":{"longest_side":9,"shortest_side":9}}]`, "has more than one of LongestSide"},
		{`[{"name":"a","prompts":{"markdown":"x"},"page_size":{"width":9}}]`, "PageSize.Width: 9 needs Height"},
		{`[{"name":"a","prompts":{"markdown":"x"},"page_size":{"min_area":9,"max_area":8}}]`, "PageSize.MinArea: 9 is more than MaxArea, 8"},
		{`[{"name":"a","prompts":{"markdown":"x"},"page_size":{"filter":"box"}}]`, `PageSize.Filter: "box" is not one of`},
	} {
		_, err := readPresets([]byte(row.table))
		if row.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, row.want, row.table)
	}
	data, err := json.Marshal(Presets())
	require.NoError(t, err)
	var back []Preset
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, Presets(), back)
}

func TestPresetJSONRoundTrip(t *testing.T) {
	var p Preset
	fill(t, reflect.ValueOf(&p).Elem())
	data, err := json.Marshal(p)
	require.NoError(t, err)
	var back Preset
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, p, back)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"name":"a","promts":{}}`), &back), `textextraction: Preset: json: unknown field "promts"`)
	require.Equal(t, p, back)
}
