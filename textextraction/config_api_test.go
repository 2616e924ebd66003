package textextraction

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	_ "image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// chatServer speaks as much of OpenAI's protocol as the config needs. What it answers hangs on the prompt alone.
type chatServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []chatRequest
	now   int // calls under way, and
	most  int // the most that there were at a time
}

// chatRequest is what the server was sent.
type chatRequest struct {
	Model     string `json:"model"`
	MaxTokens int    `json:"max_tokens"`
	Messages  []struct {
		Role    string `json:"role"`
		Content []struct {
			Type     string `json:"type"`
			Text     string `json:"text"`
			ImageURL struct {
				URL string `json:"url"`
			} `json:"image_url"`
		} `json:"content"`
	} `json:"messages"`
	Temperature *float64 `json:"temperature"`
	Seed        *uint64  `json:"seed"`
	header      http.Header
	path        string
	page        image.Image
}

func newChatServer(t *testing.T) *chatServer {
	t.Helper()
	s := &chatServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *chatServer) answer(w http.ResponseWriter, r *http.Request) {
	q := chatRequest{header: r.Header, path: r.URL.Path}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	prompt := ""
	for _, m := range q.Messages {
		for _, p := range m.Content {
			if data, ok := strings.CutPrefix(p.ImageURL.URL, "data:image/png;base64,"); ok {
				picture, _ := base64.StdEncoding.DecodeString(data)
				q.page, _, _ = image.Decode(bytes.NewReader(picture))
			} else if m.Role == "user" {
				prompt += p.Text
			}
		}
	}
	s.mu.Lock()
	s.asked = append(s.asked, q)
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if q.page == nil {
		http.Error(w, `{"error": {"message": "no page"}}`, http.StatusBadRequest)
		return
	}
	words, finish := strings.Fields("# "+prompt+" of a page <!-- Table (1, 2, 3, 4) --> & more"), "stop"
	if len(words) > q.MaxTokens { // a word is a token
		words, finish = words[:q.MaxTokens], "length"
	}
	text, _ := json.Marshal(strings.Join(words, " "))
	_, _ = fmt.Fprintf(w, `{"choices": [{"message": {"content": %s}, "finish_reason": %q}], "usage": {"prompt_tokens": 99, "completion_tokens": %d, "prompt_tokens_details": {"cached_tokens": 64}}}`,
		text, finish, len(words))
}

func (s *chatServer) last() chatRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

func TestAPIConfigReads(t *testing.T) {
	s := newChatServer(t)
	x, err := NewQwenTextExtractor(t.Context(), QwenTextAPIConfig{
		ReadBlankPages: true,
		Model:          "Qwen/Qwen3-VL-8B-Instruct", APIBase: s.URL + "/v1", APIKey: "secret", ExtraHeaders: map[string]string{"x-title": "pages"}, SystemPrompt: "be exact",
	})
	require.NoError(t, err)
	page := image.NewGray(image.Rect(0, 0, 2550, 3300))
	r, err := x.Extract(t.Context(), page, Markdown)
	require.NoError(t, err)
	require.Equal(t, "# qwenvl markdown of a page  & more", r.Content)
	require.Contains(t, r.RawOutput, "<!-- Table")
	require.Equal(t, []int{2550, 3300}, []int{r.ImageWidth, r.ImageHeight})
	require.Equal(t, "Qwen/Qwen3-VL-8B-Instruct", r.ModelName)
	require.Equal(t, "remote", r.Device)
	require.Equal(t, FinishStop, r.FinishReason)
	require.Equal(t, []int{99, 64, 15}, []int{r.PromptTokens, r.CachedTokens, r.CompletionTokens})

	q := s.last()
	require.Equal(t, "/v1/chat/completions", q.path)
	require.Equal(t, "Bearer secret", q.header.Get("Authorization"))
	require.Equal(t, "pages", q.header.Get("X-Title"))
	require.Equal(t, 8192, q.MaxTokens)
	require.Zero(t, *q.Temperature)
	require.Nil(t, q.Seed)
	require.Equal(t, image.Rect(0, 0, 1248, 1632), q.page.Bounds(), "the size that a model here would read it in")
	require.Len(t, q.Messages, 2)
	require.Equal(t, "be exact", q.Messages[0].Content[0].Text)
	require.Equal(t, "image_url", q.Messages[1].Content[0].Type, "the image comes first")
	require.NoError(t, x.Close())
	_, err = x.Extract(t.Context(), page, Markdown)
	require.ErrorIs(t, err, ErrClosed)
}

// Pages are asked for together, and no more of them than was said.
func TestAPIConfigBatch(t *testing.T) {
	s := newChatServer(t)
	x, err := NewQwenTextExtractor(t.Context(), QwenTextAPIConfig{ReadBlankPages: true, Model: "m", APIBase: s.URL, MaxConcurrency: 3, CustomPreset: &Preset{
		Name: "mine", Prompts: Prompts{Markdown: "read"}, TextFirst: true, CheckpointBounds: true,
	}})
	require.NoError(t, err)
	pages := make([]image.Image, 12)
	for i := range pages {
		pages[i] = image.NewGray(image.Rect(0, 0, 40+i, 30))
	}
	n := 0
	for r, err := range x.Batch(t.Context(), Images(pages...), BatchOptions{}) {
		require.NoError(t, err)
		require.Equal(t, 40+n, r.ImageWidth)
		n++
	}
	require.Equal(t, len(pages), n)
	require.LessOrEqual(t, s.most, 3)
	require.Equal(t, "text", s.last().Messages[0].Content[0].Type)
	require.Equal(t, 30, s.last().page.Bounds().Dy(), "as it is")

	_, err = x.ExtractWith(t.Context(), pages[0], Options{MaxNewTokens: 2, MinPixels: 5000})
	require.NoError(t, err)
	require.Equal(t, 2, s.last().MaxTokens)
	require.Equal(t, image.Rect(0, 0, 96, 64), s.last().page.Bounds(), "as large as was asked")
	require.NoError(t, x.Close())
}

func TestAPIConfigFaults(t *testing.T) {
	for _, name := range []string{"OPENROUTER_API_BASE", "AZURE_API_BASE", "AZURE_API_VERSION", "HOSTED_VLLM_API_BASE"} {
		t.Setenv(name, "")
	}
	for _, test := range []struct {
		name   string
		config QwenTextAPIConfig
		want   string
	}{
		{"provider", QwenTextAPIConfig{Model: "gemini/flash"}, `Model: "gemini/flash" begins with no provider that is known (openrouter/, openai/`},
		{"no address", QwenTextAPIConfig{Model: "hosted_vllm/m"}, "APIBase: \"\" is empty, and so is HOSTED_VLLM_API_BASE"},
		{"Azure's version", QwenTextAPIConfig{Model: "azure/d", APIBase: "https://x"}, "APIVersion: \"\" is empty, and so is AZURE_API_VERSION"},
		{"another's version", QwenTextAPIConfig{APIVersion: "2024"}, `APIVersion: "2024" is Azure's alone`},
		{"timeout", QwenTextAPIConfig{Timeout: 5}, "Timeout: 5 is less than 10 seconds"},
		{"tokens", QwenTextAPIConfig{MaxTokens: 131073}, "MaxTokens: 131073 is outside 256 to 131072"},
		{"few tokens", QwenTextAPIConfig{MaxTokens: 5}, "MaxTokens: 5 is outside 256 to"},
		{"retries", QwenTextAPIConfig{MaxRetries: 21}, "MaxRetries: 21 is outside -1 to 20"},
		{"concurrency", QwenTextAPIConfig{MaxConcurrency: 2000}, "MaxConcurrency: 2000 is outside 1 to 1024"},
		{"temperature", QwenTextAPIConfig{Temperature: 3}, "Temperature: 3 is outside 0 to 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewQwenTextExtractor(t.Context(), test.config)
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, "QwenTextAPIConfig")
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := QwenTextAPIConfig{MaxTokens: 131072}.check()
	require.NoError(t, err)
}

// Keys and addresses come from the provider's variables, and no key goes to a server that is not the provider's.
func TestAPIProviders(t *testing.T) {
	s := newChatServer(t)
	t.Setenv("OPENROUTER_API_BASE", s.URL+"/router")
	t.Setenv("OPENROUTER_API_KEY", "router's")
	t.Setenv("OPENAI_API_KEY", "openai's")
	read := func(c QwenTextAPIConfig) chatRequest {
		c.ReadBlankPages = true
		x, err := NewQwenTextExtractor(t.Context(), c)
		require.NoError(t, err)
		_, err = x.Extract(t.Context(), image.NewGray(image.Rect(0, 0, 64, 64)), HTML)
		require.NoError(t, err)
		require.NoError(t, x.Close())
		return s.last()
	}
	q := read(QwenTextAPIConfig{})
	require.Equal(t, []string{"/router/chat/completions", "qwen/qwen3-vl-8b-instruct", "Bearer router's"}, []string{q.path, q.Model, q.header.Get("Authorization")})
	q = read(QwenTextAPIConfig{Model: "Qwen/Qwen3-VL-2B-Instruct", APIBase: s.URL})
	require.Equal(t, []string{"Qwen/Qwen3-VL-2B-Instruct", ""}, []string{q.Model, q.header.Get("Authorization")})
	q = read(QwenTextAPIConfig{Model: "azure/deployed", APIBase: s.URL, APIKey: "mine", APIVersion: "2024-10-21"})
	require.Equal(t, []string{"/openai/deployments/deployed/chat/completions", "mine"}, []string{q.path, q.header.Get("Api-Key")})
}

func TestAPIConfigJSON(t *testing.T) {
	var c QwenTextAPIConfig
	require.NoError(t, json.Unmarshal([]byte(`{"model": "openai/m", "api_key": "k", "api_base": "http://x", "api_version": null, "extra_headers": {"a": "b"},
		"max_tokens": 300, "temperature": 0.1, "timeout": 60}`), &c))
	require.Equal(t, QwenTextAPIConfig{
		Model: "openai/m", APIKey: "k", APIBase: "http://x", ExtraHeaders: map[string]string{"a": "b"}, MaxTokens: 300, Temperature: 0.1, Timeout: 60,
	}, c)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"base_url": "x"}`), &c), "textextraction: QwenTextAPIConfig: ")
}

// What a server says of a call that cannot go well reaches the caller, and the end of a context ends the call.
func TestAPIConfigErrors(t *testing.T) {
	hang := make(chan struct{})
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("Authorization") != "" {
			http.Error(w, `{"error": {"message": "no such key"}}`, http.StatusUnauthorized)
			return
		}
		close(hang)
		<-r.Context().Done()
	}
	s := httptest.NewServer(http.HandlerFunc(answer))
	defer s.Close()
	page := image.NewGray(image.Rect(0, 0, 64, 64))
	x, err := NewQwenTextExtractor(t.Context(), QwenTextAPIConfig{ReadBlankPages: true, Model: "m", APIBase: s.URL, APIKey: "wrong"})
	require.NoError(t, err)
	_, err = x.Extract(t.Context(), page, Markdown)
	require.ErrorContains(t, err, "401 Unauthorized: no such key: check the API key")
	require.NoError(t, x.Close())

	x, err = NewQwenTextExtractor(t.Context(), QwenTextAPIConfig{ReadBlankPages: true, Model: "m", APIBase: s.URL})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-hang
		cancel()
	}()
	_, err = x.Extract(ctx, page, Markdown)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, x.Close())
}
