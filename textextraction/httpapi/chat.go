package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// chatRequest is what is understood of OpenAI's request. What is not is passed over, except where it would change the answer.
type chatRequest struct {
	Model               string        `json:"model"`
	Messages            []chatMessage `json:"messages"`
	MaxTokens           int           `json:"max_tokens"`
	MaxCompletionTokens int           `json:"max_completion_tokens"`
	Temperature         float64       `json:"temperature"`
	TopP                float64       `json:"top_p"`
	TopK                int           `json:"top_k"`
	Seed                uint64        `json:"seed"`
	N                   int           `json:"n"`
	Stream              bool          `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools          json.RawMessage `json:"tools"`
	Stop           json.RawMessage `json:"stop"`
	ResponseFormat struct {
		Type string `json:"type"`
	} `json:"response_format"`
}

type chatMessage struct {
	Role    string      `json:"role"`
	Content chatContent `json:"content"`
}

// chatContent is a string or a list of parts.
type chatContent []chatPart

type chatPart struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL struct {
		URL string `json:"url"`
	} `json:"image_url"`
}

func (c *chatContent) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = chatContent{{Type: "text", Text: text}}
		return nil
	}
	var parts []chatPart
	if err := json.Unmarshal(data, &parts); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	*c = parts
	return nil
}

// there says whether a field was given, and not as null or empty.
func there(raw json.RawMessage) bool {
	s := string(raw)
	return s != "" && s != "null" && s != "[]"
}

// page is the page of a chat, and how it is to be read.
func (a *API) chatPage(ctx context.Context, q chatRequest) (image.Image, textextraction.Options, error) {
	var opts textextraction.Options
	switch {
	case q.N > 1:
		return nil, opts, bad("n: this server gives one answer")
	case there(q.Tools):
		return nil, opts, bad("tools: this server has none")
	case there(q.Stop):
		return nil, opts, bad("stop: this server's model ends its answers itself")
	case q.ResponseFormat.Type != "" && q.ResponseFormat.Type != "text":
		return nil, opts, bad("response_format: this server's answers are text")
	}
	opts.MaxNewTokens = max(q.MaxTokens, q.MaxCompletionTokens)
	opts.Sampling = textextraction.Sampling{Temperature: q.Temperature, TopP: q.TopP, TopK: q.TopK, Seed: q.Seed}
	if q.Temperature == 0 {
		opts.Sampling = textextraction.Greedy
	}
	var address string
	for _, m := range q.Messages {
		for _, part := range m.Content {
			switch {
			case part.Type == "image_url" && address != "":
				return nil, opts, bad("there are two images: a page is read for itself, send one at a time")
			case part.Type == "image_url":
				address = part.ImageURL.URL
			case part.Type != "text":
				return nil, opts, bad(fmt.Sprintf("a part of type %q: want text and image_url", part.Type))
			case m.Role == "system", m.Role == "developer":
				opts.SystemPrompt += part.Text
			case m.Role == "user":
				opts.Prompt += part.Text
			default:
				return nil, opts, bad(fmt.Sprintf("a turn of %q: a page is read anew each time, send a user's alone", m.Role))
			}
		}
	}
	opts.Prompt = strings.TrimSpace(opts.Prompt)
	if opts.Prompt == textextraction.HTML.Prompt() {
		opts.Format = textextraction.HTML
	}
	page, err := a.imageAt(ctx, address)
	return page, opts, err
}

// imageAt is the picture of an image part: a data URL, or an address.
func (a *API) imageAt(ctx context.Context, address string) (image.Image, error) {
	head, encoded, ok := strings.Cut(address, ",")
	switch {
	case address == "":
		return nil, bad("there is no image: send the page as a part of type image_url")
	case !strings.HasPrefix(address, "data:"):
		return a.fetch(ctx, address)
	case !ok:
		return nil, bad("the data URL has no data")
	}
	if err := held(ctx).take(int64(len(encoded))); err != nil {
		return nil, err
	}
	var data []byte
	var err error
	if strings.HasSuffix(head, ";base64") {
		data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	} else {
		var plain string
		plain, err = url.PathUnescape(encoded)
		data = []byte(plain)
	}
	if err != nil {
		return nil, bad("the data URL: " + err.Error())
	}
	d, err := a.open(ctx, "", data)
	if err != nil {
		return nil, err
	}
	page, one := d.(picture)
	if !one {
		_ = d.Close() // it was only opened
		return nil, bad("an image part is a picture; send documents to /v1/extract")
	}
	return page.Image, nil
}

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	PromptDetails    struct {
		CachedTokens int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

func usageOf(r *textextraction.ExtractResult) *chatUsage {
	u := &chatUsage{PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, TotalTokens: r.PromptTokens + r.CompletionTokens}
	u.PromptDetails.CachedTokens = r.CachedTokens
	return u
}

type chatText struct {
	Role    string `json:"role,omitzero"`
	Content string `json:"content"`
}

type chatChoice struct {
	Index        int       `json:"index"`
	Message      *chatText `json:"message,omitempty"`
	Delta        *chatText `json:"delta,omitempty"`
	FinishReason *string   `json:"finish_reason"`
}

type chatAnswer struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage,omitempty"`
}

// finishOf is OpenAI's word for why an answer ended.
func finishOf(r *textextraction.ExtractResult) *string {
	reason := "stop"
	if r.FinishReason == textextraction.FinishLength {
		reason = "length"
	}
	return &reason
}

// chat answers as OpenAI does. The content is what the model wrote, not cleaned: its clients ask for the model's words.
func (a *API) chat(w http.ResponseWriter, r *http.Request) {
	var q chatRequest
	if err := a.jsonBody(w, r, &q, "the request cannot be read"); err != nil {
		refuse(w, err)
		return
	}
	page, opts, err := a.chatPage(r.Context(), q)
	if err != nil {
		refuse(w, err)
		return
	}
	answer := chatAnswer{ID: "chatcmpl-" + rand.Text(), Object: "chat.completion", Created: time.Now().Unix(), Model: a.options.Model}
	if q.Stream {
		a.chatStream(w, r, page, opts, answer, q.StreamOptions.IncludeUsage)
		return
	}
	result, err := a.read(r.Context(), page, opts, false)
	if err != nil {
		refuse(w, err)
		return
	}
	answer.Choices = []chatChoice{{Message: &chatText{"assistant", result.RawOutput}, FinishReason: finishOf(result)}}
	answer.Usage = usageOf(result)
	reply(w, http.StatusOK, answer)
}
