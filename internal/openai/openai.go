// Package openai calls the chat completions of a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, OpenRouter, Azure.
//
// It is small on purpose: OpenAI's own client for Go, which has all of their API, makes a program 25 MB larger and takes longer to
// compile than everything else here together.
package openai

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls one server. It may be used from several goroutines.
type Client struct {
	// Base is the address below which the protocol's paths are, for example "https://openrouter.ai/api/v1". For Azure it is that of
	// the resource, "https://NAME.openai.azure.com".
	Base string
	// Key is sent as the bearer's, or as Azure wants it. Empty sends none.
	Key string
	// AzureVersion makes the server one of Azure's, with this api-version, where the model is the name of a deployment.
	AzureVersion string
	// Headers are sent with each request.
	Headers http.Header
	// HTTP does the calls. Nil means http.DefaultClient.
	HTTP *http.Client
	// Timeout bounds one attempt, the answer's last byte included. Zero means none.
	Timeout time.Duration
	// Attempts is how often a call is tried, FirstWait the time before the second try, which doubles up to MaxWait. What the server
	// asks for in Retry-After is waited, up to MaxWait. Zero means 3, one second, and 30 seconds.
	Attempts           int
	FirstWait, MaxWait time.Duration
	// MaxAnswer bounds an answer's bytes. Zero means 64 MiB.
	MaxAnswer int64
}

// Request is a call of /chat/completions.
type Request struct {
	Model    string    `json:"model"`
	Messages []Message `json:"messages"`
	// MaxTokens bounds the answer. Azure, and OpenAI's newer models, want it by its second name.
	MaxTokens           int `json:"max_tokens,omitzero"`
	MaxCompletionTokens int `json:"max_completion_tokens,omitzero"`
	// Temperature is sent as it is, 0 too.
	Temperature float64 `json:"temperature"`
	TopP        float64 `json:"top_p,omitzero"`
	// TopK is no field of OpenAI's, but of vLLM, SGLang, llama.cpp and OpenRouter.
	TopK        int            `json:"top_k,omitzero"`
	Seed        *int64         `json:"seed,omitempty"`
	Stop        []string       `json:"stop,omitempty"`
	Stream      bool           `json:"stream,omitzero"`
	StreamUsage *streamOptions `json:"stream_options,omitempty"`
	// Extra are fields of the server's own.
	Extra map[string]json.RawMessage `json:"-"`
}

// MarshalJSON writes the extra fields beside the others.
func (r Request) MarshalJSON() ([]byte, error) {
	type plain Request // without this method
	data, err := json.Marshal(plain(r))
	if err != nil || len(r.Extra) == 0 {
		return data, err
	}
	extra, err := json.Marshal(r.Extra)
	if err != nil {
		return nil, err
	}
	return append(append(data[:len(data)-1], ','), extra[1:]...), nil
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// Message is a turn of the chat.
type Message struct {
	Role    string `json:"role"`
	Content []Part `json:"content"`
}

// Part is a part of a turn: text or an image.
type Part struct {
	Type     string    `json:"type"`
	Text     string    `json:"text,omitzero"`
	ImageURL *ImageURL `json:"image_url,omitempty"`
}

// ImageURL names an image.
type ImageURL struct {
	URL string `json:"url"`
}

// Text is a part with text.
func Text(s string) Part { return Part{Type: "text", Text: s} }

// PNG is a part with an image, in the request itself.
func PNG(data []byte) Part {
	return Part{Type: "image_url", ImageURL: &ImageURL{URL: "data:image/png;base64," + base64.StdEncoding.EncodeToString(data)}}
}

// Answer is what the server's model wrote.
type Answer struct {
	// Text is the answer, Finish why it ended ("stop", "length").
	Text, Finish string
	// Model is the model that the server says it used.
	Model string
	// PromptTokens and CompletionTokens are as the server counts them, 0 where it does not say; CachedTokens those of the prompt that it has not
	// run again.
	PromptTokens, CompletionTokens, CachedTokens int
	// Attempts counts the calls that it took.
	Attempts int
}

// ErrAnswer is wrapped by the error of an answer that is not what the protocol says.
var ErrAnswer = errors.New("the server's answer is not that of chat completions")

// StatusError is an answer that is an error.
type StatusError struct {
	// Status is that of HTTP, Message and Code the server's.
	Status        int
	Message, Code string
	// RetryAfter is how long the server asks to wait; 0 where it does not say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		s += ": check the API key"
	case http.StatusNotFound:
		s += ": check the base address and the name of the model"
	case http.StatusRequestEntityTooLarge:
		s += ": send a smaller image"
	}
	return s
}

// temporary says whether the same call may go well later.
func (e *StatusError) temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Status >= 500
}

// address is that of chat completions.
func (c *Client) address(model string) (string, error) {
	base, err := url.Parse(c.Base)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return "", fmt.Errorf("the base address is %q, want one such as https://host/v1", c.Base)
	}
	path := []string{"chat", "completions"}
	if c.AzureVersion != "" {
		path = append([]string{"openai", "deployments", url.PathEscape(model)}, path...)
	}
	at := base.JoinPath(path...)
	if c.AzureVersion != "" {
		q := at.Query()
		q.Set("api-version", c.AzureVersion)
		at.RawQuery = q.Encode()
	}
	return at.String(), nil
}

// statusError reads the body of an answer that is an error.
func statusError(status int, header http.Header, body []byte) *StatusError {
	e := &StatusError{Status: status, RetryAfter: retryAfter(header, time.Now())}
	var said struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"` // vLLM, before it had "error"
		Detail  json.RawMessage `json:"detail"`  // FastAPI
	}
	if json.Unmarshal(body, &said) == nil {
		var inner struct {
			Message string          `json:"message"`
			Code    json.RawMessage `json:"code"`
		}
		var text string
		switch {
		case json.Unmarshal(said.Error, &inner) == nil && inner.Message != "":
			e.Message, e.Code = inner.Message, strings.Trim(string(inner.Code), `"`)
		case json.Unmarshal(said.Error, &text) == nil:
			e.Message = text
		case said.Message != "":
			e.Message = said.Message
		case len(said.Detail) > 0:
			e.Message = strings.Trim(string(said.Detail), `"`)
		}
		if e.Code == "null" {
			e.Code = ""
		}
	}
	if e.Message == "" {
		e.Message = strings.Join(strings.Fields(string(body)), " ")
	}
	if r := []rune(e.Message); len(r) > 500 {
		e.Message = string(r[:500]) + "…"
	}
	return e
}
