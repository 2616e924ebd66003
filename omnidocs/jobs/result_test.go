package jobs

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

func text(s string) *textextraction.ExtractResult {
	return textextraction.NewExtractResult(s, textextraction.Markdown)
}

func sample() *BatchResult {
	d := &DocumentResult{SourcePath: "x.pdf", PageCount: 12}
	d.AddPageResult(10, text("<ten>"))
	d.AddPageResult(2, text("two"))
	d.Add(PageOutcome{Page: 3, Err: errors.New("three"), Attempts: 3})
	d.AddPageResult(2, text("two again"))
	var b BatchResult
	b.Add("z", d)
	b.Add("a", &DocumentResult{Err: errors.New("no document")})
	return &b
}

func TestResultJSON(t *testing.T) {
	b := sample()
	path := filepath.Join(t.TempDir(), "new", "all.json")
	require.NoError(t, b.SaveJSON(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var python struct {
		DocumentCount int `json:"document_count"`
		TotalPages    int `json:"total_pages"`
		Documents     map[string]struct {
			SourcePath     *string                    `json:"source_path"`
			PageCount      int                        `json:"page_count"`
			ProcessedPages int                        `json:"processed_pages"`
			Results        map[string]json.RawMessage `json:"results"`
		} `json:"documents"`
	}
	require.NoError(t, json.Unmarshal(data, &python))
	require.Equal(t, 2, python.DocumentCount)
	require.Equal(t, 2, python.TotalPages)
	require.Equal(t, 12, python.Documents["z"].PageCount)
	require.Contains(t, python.Documents["z"].Results, "10")
	require.Nil(t, python.Documents["a"].SourcePath)
	require.Contains(t, string(data), "<ten>", "text stays as it is")
	require.Regexp(t, `(?s)"z".*"2": .*"10": .*"a"`, string(data), "pages and documents keep their order")

	var read BatchResult
	require.NoError(t, json.Unmarshal(data, &read))
	require.Equal(t, b.IDs(), read.IDs())
	again, err := json.MarshalIndent(&read, "", "  ")
	require.NoError(t, err)
	want, err := json.MarshalIndent(b, "", "  ")
	require.NoError(t, err)
	require.Equal(t, string(want), string(again))
	require.EqualError(t, read.Document("z").Pages()[1].Err, "three")
	require.Equal(t, "two again", read.Document("z").PageResult(2).Content)
	for _, bad := range []string{`[]`, `{}`, `{"documents":[]}`, `{"documents":{"a":1}}`, `{"documents":{"a":{"results":{"x":null}}}}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &read), bad)
	}
	require.NoError(t, json.Unmarshal([]byte(`{"document_count":1,"total_pages":1,"documents":{"p":{"source_path":null,"page_count":1,"processed_pages":1,
		"results":{"0":{"content":"x","format":"markdown","raw_output":"x","plain_text":"x","image_width":1,"image_height":1,"model_name":"m"}}}}}`), &read), "as Python writes it")
	require.Error(t, b.SaveJSON(filepath.Join(path, "below a file")))
}

func TestResults(t *testing.T) {
	b := sample()
	require.Equal(t, 1, b.FailedPages())
	require.Equal(t, 1, b.FailedDocuments())
	d := b.Document("z")
	require.Equal(t, `"x.pdf": 2 of 12 pages`, d.String())
	require.Equal(t, "two again--<ten>", MergeTextResults(append(d.AllResults(), nil, text("")), "--"))
	require.Nil(t, b.Document("none"))
}

func TestProgress(t *testing.T) {
	now := time.Unix(0, 0)
	m := newMeter(4, func() time.Time { return now })
	m.open(10)
	page := func(seconds float64, p PageOutcome) Progress {
		now = now.Add(time.Duration(seconds * 1e9))
		return m.page("x", p)
	}
	p := page(100, PageOutcome{Resumed: true})
	require.Zero(t, p.Rate)
	require.Zero(t, p.Remaining)
	require.Equal(t, 40, p.PagesExpected)
	for range 10 {
		p = page(2, PageOutcome{Attempts: 1})
	}
	require.InDelta(t, 0.5, p.Rate, 1e-9)
	require.InDelta(t, 58, p.Remaining.Seconds(), 1e-6, "29 pages of two seconds each")
	require.InDelta(t, 120, p.Elapsed.Seconds(), 1e-6)
	for range 100 {
		p = page(4, PageOutcome{Attempts: 1, Err: errors.New("x")})
	}
	require.InDelta(t, 0.25, p.Rate, 1e-3, "what was long ago is forgotten")
	m.open(20)
	p = m.document("x", true)
	require.Equal(t, 60, p.PagesExpected)
	require.Equal(t, []int{1, 1, 100, 1}, []int{p.DocumentsDone, p.DocumentsFailed, p.Failed, p.Resumed})
}
