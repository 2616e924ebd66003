package httpapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/openai"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// chatBody is a request with one user's turn.
func chatBody(parts string, fields string) string {
	return fmt.Sprintf(`{"model": "any", "messages": [{"role": "system", "content": "be exact"}, {"role": "user", "content": [%s]}]%s}`, parts, fields)
}

func imagePart(address string) string {
	quoted, _ := json.Marshal(address)
	return fmt.Sprintf(`{"type": "image_url", "image_url": {"url": %s}}`, quoted)
}

const textPart = `{"type": "text", "text": "qwenvl markdown"}`

func TestChat(t *testing.T) {
	png := pagePNG(t, 61)
	address := "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
	at := serve(t, &fake{}, httpapi.Options{Model: "tiny"}) + "/v1/chat/completions"
	a := call(t, "POST", at, strings.NewReader(chatBody(imagePart(address)+","+textPart, "")))
	require.Equal(t, 200, a.status, a.body)
	var got struct {
		ID, Object, Model string
		Created           int64
		Choices           []struct {
			Message      struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	require.Equal(t, "chat.completion", got.Object)
	require.Equal(t, "tiny", got.Model)
	require.Contains(t, got.ID, "chatcmpl-")
	require.Equal(t, "# 61 pixels, “qwenvl markdown” be exact\n<!-- Image (1, 2, 3, 4) -->\n", got.Choices[0].Message.Content, "as the model wrote it")
	require.Equal(t, "stop", got.Choices[0].FinishReason)
	require.Equal(t, map[string]any{
		"prompt_tokens": 11.0, "completion_tokens": 7.0, "total_tokens": 18.0, "prompt_tokens_details": map[string]any{"cached_tokens": 9.0},
	}, got.Usage)

	a = call(t, "POST", at, strings.NewReader(chatBody(imagePart("data:image/png,"+url.PathEscape(string(png)))+","+textPart, `, "max_tokens": 1`)))
	require.Contains(t, a.body, `"finish_reason":"length"`)
}

func TestChatRefuses(t *testing.T) {
	page := imagePart("data:image/png;base64," + base64.StdEncoding.EncodeToString(pagePNG(t, 20)))
	fetch := func(context.Context, string) ([]byte, error) { return nil, errors.New("refused") }
	at := serve(t, &fake{}, httpapi.Options{Fetch: fetch}) + "/v1/chat/completions"
	for _, test := range []struct {
		name, body, want string
	}{
		{"no JSON", "{", "400 cannot be read"},
		{"messages of another type", `{"messages": 7}`, "400 cannot be read"},
		{"content of another type", `{"messages": [{"role": "user", "content": 7}]}`, "400 content"},
		{"no image", chatBody(textPart, ""), "400 there is no image"},
		{"two images", chatBody(page+","+page, ""), "400 two images"},
		{"sound", chatBody(`{"type": "input_audio"}`, ""), `400 a part of type "input_audio"`},
		{"an assistant's turn", `{"messages": [{"role": "assistant", "content": "x"}]}`, `400 a turn of "assistant"`},
		{"two answers", chatBody(page, `, "n": 2`), "400 n: "},
		{"tools", chatBody(page, `, "tools": [{}]`), "400 tools: "},
		{"stops", chatBody(page, `, "stop": "x"`), "400 stop: "},
		{"JSON wanted", chatBody(page, `, "response_format": {"type": "json_object"}`), "400 response_format: "},
		{"temperature", chatBody(page, `, "temperature": 3`), "400 Temperature"},
		{"broken base64", chatBody(imagePart("data:image/png;base64,???"), ""), "400 the data URL"},
		{"no data", chatBody(imagePart("data:image/png"), ""), "400 the data URL has no data"},
		{"no picture", chatBody(imagePart("data:text/plain,hello"), ""), "415 takes pictures"},
		{"an address that is not fetched", chatBody(imagePart("http://localhost/x.png"), ""), "502 could not be fetched: refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := call(t, "POST", at, strings.NewReader(test.body))
			status, text, _ := strings.Cut(test.want, " ")
			require.Equal(t, status, fmt.Sprint(a.status), a.body)
			require.Contains(t, a.message(t), text)
		})
	}
}

// Our own client reads with our own server what the server's extractor reads.
func TestChatWithOurClient(t *testing.T) {
	at := serve(t, &fake{}, httpapi.Options{Tokens: []string{"secret"}})
	x, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextAPIConfig{Model: "any", APIBase: at + "/v1", APIKey: "secret", ReadBlankPages: true})
	require.NoError(t, err)
	defer x.Close()
	page, err := textextraction.DecodeImage(t.Context(), strings.NewReader(string(pagePNG(t, 64))))
	require.NoError(t, err)
	r, err := x.Extract(t.Context(), page, textextraction.HTML)
	require.NoError(t, err)
	require.Contains(t, r.RawOutput, "“qwenvl html”")
	require.Equal(t, 7, r.CompletionTokens)
	text, pieces := "", 0
	for d, err := range x.Stream(t.Context(), page, textextraction.Options{Format: textextraction.HTML}) {
		require.NoError(t, err)
		text = d.Apply(text)
		pieces++
	}
	require.Equal(t, r.Content, text)
	require.GreaterOrEqual(t, pieces, 1)
	_, err = x.ExtractWith(t.Context(), page, textextraction.Options{Prompt: "image"})
	require.ErrorContains(t, err, "422 Unprocessable Entity")
}

func TestChatStream(t *testing.T) {
	c := openai.Client{Base: serve(t, &fake{}, httpapi.Options{}) + "/v1"}
	ask := openai.Request{Model: "any", Messages: []openai.Message{{Role: "user", Content: []openai.Part{openai.PNG(pagePNG(t, 20)), openai.Text("read")}}}}
	var text strings.Builder
	pieces := 0
	a, err := c.Chat(t.Context(), ask, func(s string) {
		pieces++
		text.WriteString(s)
	})
	require.NoError(t, err)
	require.Equal(t, "# 20 pixels, “read” \n<!-- Image (1, 2, 3, 4) -->\n", a.Text)
	require.Equal(t, a.Text, text.String())
	require.Equal(t, 2, pieces)
	require.Equal(t, "stop", a.Finish)
	require.Equal(t, []int{11, 9, 7}, []int{a.PromptTokens, a.CachedTokens, a.CompletionTokens})
	ask.Messages[0].Content[1].Text = "fire"
	c.Attempts = 1
	_, err = c.Chat(t.Context(), ask, func(string) {})
	require.ErrorContains(t, err, "on fire")
	ask.Messages[0].Content[1].Text = "half"
	a, err = c.Chat(t.Context(), ask, func(string) {})
	require.ErrorContains(t, err, "on fire")
	require.Contains(t, a.Text, "20 pixels")
}

func FuzzChat(f *testing.F) {
	a, err := httpapi.New(&fake{}, httpapi.Options{MaxPixels: 1e6})
	require.NoError(f, err)
	f.Add(chatBody(imagePart("data:image/png;base64,"), ""))
	f.Add(`{"messages": [{"role": "user", "content": "x"}], "n": 2}`)
	f.Fuzz(func(t *testing.T, body string) { fuzzed(t, a, "/v1/chat/completions", "application/json", body) })
}

func FuzzForm(f *testing.F) {
	a, err := httpapi.New(&fake{}, httpapi.Options{MaxPixels: 1e6})
	require.NoError(f, err)
	f.Add("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nx\r\n--b--\r\n")
	f.Add("--b\r\n\r\n--b--")
	f.Fuzz(func(t *testing.T, body string) { fuzzed(t, a, "/v1/extract", "multipart/form-data; boundary=b", body) })
}
