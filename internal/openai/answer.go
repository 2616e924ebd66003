package openai

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// completion is the protocol's object, of a whole answer and of a piece of one.
type completion struct {
	Model   string `json:"model"`
	Choices []struct {
		Message      *content `json:"message"`
		Delta        *content `json:"delta"`
		FinishReason string   `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		PromptDetails    struct {
			CachedTokens int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type content struct {
	Content text `json:"content"`
}

// text is a string, or a list of parts with text, or null.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil { // null too
		*t = text(s)
		return nil
	}
	var parts []Part
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		s += p.Text
	}
	*t = text(s)
	return nil
}

// take adds what an object says to the answer, and returns its text.
func (a *Answer) take(c completion) string {
	if c.Model != "" {
		a.Model = c.Model
	}
	if c.Usage != nil {
		a.PromptTokens, a.CompletionTokens = c.Usage.PromptTokens, c.Usage.CompletionTokens
		a.CachedTokens = c.Usage.PromptDetails.CachedTokens
	}
	if len(c.Choices) == 0 {
		return ""
	}
	first := c.Choices[0]
	if first.FinishReason != "" {
		a.Finish = first.FinishReason
	}
	var s string
	for _, p := range []*content{first.Message, first.Delta} {
		if p != nil {
			s += string(p.Content)
		}
	}
	a.Text += s
	return s
}

func readAnswer(r io.Reader) (a Answer, err error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return a, err
	}
	var c completion
	if err := json.Unmarshal(data, &c); err != nil {
		return a, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" { // OpenRouter answers 200 with the error of the one behind it
		return a, upstream(data)
	}
	if len(c.Choices) == 0 {
		return a, fmt.Errorf("%w: it has no choices", ErrAnswer)
	}
	a.take(c)
	return a, nil
}

// upstream is the error in an object that came with 200. Its code is often the status that it would have had.
func upstream(data []byte) error {
	e := statusError(502, nil, data)
	if _, err := fmt.Sscanf(e.Code, "%d", &e.Status); err != nil || e.Status < 400 || e.Status > 599 {
		e.Status = 502
	}
	return e
}

// readStream reads server-sent events: lines "data: {…}", ended by "data: [DONE]".
func readStream(r io.Reader, delta func(string)) (a Answer, err error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		data, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte("data:"))
		data = bytes.TrimSpace(data)
		switch {
		case !ok: // an empty line, a comment that keeps the connection open, another field
		case string(data) == "[DONE]":
			return a, nil
		case err == nil || json.Valid(data):
			var c completion
			if err := json.Unmarshal(data, &c); err != nil {
				return a, fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			if len(c.Error) > 0 && string(c.Error) != "null" {
				return a, upstream(data)
			}
			if s := a.take(c); s != "" {
				delta(s)
			}
		}
		switch {
		case errors.Is(err, io.EOF) && a.Finish != "": // some end without [DONE]
			return a, nil
		case errors.Is(err, io.EOF):
			return a, fmt.Errorf("the stream broke off after %d characters: %w", strings.Count(a.Text, "")-1, io.ErrUnexpectedEOF)
		case err != nil:
			return a, err
		}
	}
}
