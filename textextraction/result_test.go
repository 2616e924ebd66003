package textextraction

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction/table"
)

func TestNewExtractResult(t *testing.T) {
	r := NewExtractResult("# Größe\n\n<!-- Image (1, 2, 3, 4) -->\nzwei\u00a0Wörter 👍🏽", Markdown)
	require.Equal(t, "# Größe\n\nzwei\u00a0Wörter 👍🏽", r.Content)
	require.Equal(t, "Größe zwei Wörter 👍🏽", r.PlainText)
	require.Equal(t, 4, r.WordCount)
	require.Equal(t, 23, r.ContentLength, "code points, as Python's len")

	r = NewExtractResult("<!-- page -->", Markdown)
	require.Empty(t, r.PlainText)
	require.Equal(t, 3, r.WordCount, "without plain text, the words of the content, as in Python")

	r = NewExtractResult("a\xffb", HTML)
	require.Equal(t, "a\ufffdb", r.RawOutput)
	require.Equal(t, 3, r.ContentLength)
}

func TestResultJSONRoundTrip(t *testing.T) {
	var r ExtractResult
	fill(t, reflect.ValueOf(&r).Elem())
	cells, err := table.New([][]table.Cell{{{Text: "a", ColSpan: 2}}, {{Text: "b", Header: true}, {Text: "c"}}}, 1, "d")
	require.NoError(t, err)
	r.Elements[0].Table = cells
	r.Timings = Timings{Preprocess: 1, Encode: 123456789, Prefill: 3 * time.Second, Decode: 100*time.Hour + 1, Total: 1<<53 - 1}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var back ExtractResult
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, r, back)

	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	for field := range strings.SplitSeq("content format raw_output plain_text image_width image_height turn model_name word_count "+
		"content_length finish_reason truncated prompt_tokens visual_tokens cached_tokens completion_tokens timings device dtype worker revision "+
		"front_matter elements confidence uncertain_spans recoveries continuations run", " ") {
		require.Contains(t, fields, field)
		delete(fields, field)
	}
	require.Empty(t, fields, "fields that the list does not have")
	require.Contains(t, string(text), `"encode":0.123456789`)
}

func TestResultFromPython(t *testing.T) {
	// What model_dump_json writes for a TextOutput, whose properties are not in it.
	var r ExtractResult
	require.NoError(t, json.Unmarshal([]byte(`{"content":"# Ä b","format":"markdown","raw_output":null,"plain_text":"Ä b",
		"image_width":null,"image_height":20,"model_name":"Qwen3-VL (QwenTextPyTorchConfig)"}`), &r))
	require.Equal(t, ExtractResult{
		Content: "# Ä b", Format: Markdown, PlainText: "Ä b", ImageHeight: 20, ModelName: "Qwen3-VL (QwenTextPyTorchConfig)",
		WordCount: 2, ContentLength: 5,
	}, r)
}

func TestResultJSONErrors(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`{"content":"a","format":"html","layout":[]}`, `unknown field "layout"`},
		{`{"content":"a","format":"html","timings":{"load":1}}`, `unknown field "load"`},
		{`{"content":"a","format":"html","timings":{"total":1e300}}`, "timings: total: 1e+300 seconds is too long"},
		{`{"content":"a","format":"json"}`, "Expected 'html' or 'markdown'"},
		{`{"content":"a"}`, "content and format must be there"},
		{`{"format":"html"}`, "content and format must be there"},
		{`{"content":null,"format":"html"}`, "content and format must be there"},
		{`{"content":"a","format":"html","image_width":-1}`, "image of -1x0 pixels"},
		{`[1]`, "textextraction: ExtractResult: "},
	} {
		r := ExtractResult{Content: "before"}
		require.ErrorContains(t, json.Unmarshal([]byte(row.text), &r), row.want)
		require.Equal(t, ExtractResult{Content: "before"}, r)
	}
}
