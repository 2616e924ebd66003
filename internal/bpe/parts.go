package bpe

import (
	"encoding/json"
	"errors"
	"fmt"
)

// typeOf returns the "type" of one part of the file.
func typeOf(data json.RawMessage) (string, error) {
	var part struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &part); err != nil {
		return "", err
	}
	return part.Type, nil
}

// parts returns data alone or, when it is a Sequence, what is in its list under key.
func parts(data json.RawMessage, key string) ([]json.RawMessage, error) {
	if isNull(data) {
		return nil, nil
	}
	typ, err := typeOf(data)
	if err != nil || typ != "Sequence" {
		return []json.RawMessage{data}, err
	}
	var seq map[string]json.RawMessage
	if err := json.Unmarshal(data, &seq); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(seq[key], &list); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return list, nil
}

func (t *Tokenizer) readNormalizer(data json.RawMessage) error {
	list, err := parts(data, "normalizers")
	if err != nil {
		return fmt.Errorf("normalizer: %w", err)
	}
	for _, part := range list {
		typ, err := typeOf(part)
		if err != nil {
			return fmt.Errorf("normalizer: %w", err)
		}
		if typ != "NFC" {
			return fmt.Errorf("normalizer: type %q is not supported, only \"NFC\"", typ)
		}
		t.nfc = true
	}
	return nil
}

// byteLevel is the ByteLevel pre-tokenizer, post-processor and decoder.
type byteLevel struct {
	Type           string `json:"type"`
	AddPrefixSpace *bool  `json:"add_prefix_space"`
	TrimOffsets    *bool  `json:"trim_offsets"` // offsets are not kept
	UseRegex       *bool  `json:"use_regex"`
}

type splitPart struct {
	Type    string `json:"type"`
	Pattern struct {
		Regex  string  `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`
}

func (t *Tokenizer) readPreTokenizer(data json.RawMessage) error {
	list, err := parts(data, "pretokenizers")
	if err == nil {
		err = t.readPreTokenizers(list)
	}
	if err != nil {
		return fmt.Errorf("pre_tokenizer: %w", err)
	}
	return nil
}

// readPreTokenizers takes at most one Split, and one ByteLevel at the end.
func (t *Tokenizer) readPreTokenizers(list []json.RawMessage) error {
	pattern, bytes := "", false
	for _, part := range list {
		typ, err := typeOf(part)
		if err != nil {
			return err
		}
		switch {
		case typ != "Split" && typ != "ByteLevel":
			return fmt.Errorf("type %q is not supported, only \"Split\" and \"ByteLevel\"", typ)
		case bytes:
			return fmt.Errorf("type %q after \"ByteLevel\" is not supported", typ)
		case typ == "Split" && pattern != "":
			return errors.New("more than one \"Split\" is not supported")
		case typ == "Split":
			pattern, err = readSplit(part)
		default:
			bytes = true
			pattern, err = readByteLevel(part, pattern)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", typ, err)
		}
	}
	if !bytes {
		return errors.New("no \"ByteLevel\": only byte-level tokenizers are supported")
	}
	if pattern == "" {
		t.split = whole{}
		return nil
	}
	split, err := newSplitter(pattern)
	if err != nil {
		return fmt.Errorf("Split: pattern.Regex %q: %w", pattern, err)
	}
	t.split = split
	return nil
}

func readSplit(data json.RawMessage) (pattern string, err error) {
	var s splitPart
	if err := strict(data, &s); err != nil {
		return "", err
	}
	switch {
	case s.Pattern.String != nil:
		return "", fmt.Errorf("pattern.String %q is not supported, only pattern.Regex", *s.Pattern.String)
	case s.Pattern.Regex == "":
		return "", errors.New("pattern.Regex is missing or empty")
	case s.Behavior != "Isolated":
		return "", fmt.Errorf("behavior %q is not supported, only \"Isolated\"", s.Behavior)
	case s.Invert:
		return "", errors.New("invert true is not supported, only false")
	}
	return s.Pattern.Regex, nil
}

// readByteLevel returns the pattern of a Split before it, or its own.
func readByteLevel(data json.RawMessage, pattern string) (string, error) {
	var b byteLevel
	if err := strict(data, &b); err != nil {
		return "", err
	}
	if b.AddPrefixSpace == nil || *b.AddPrefixSpace {
		return "", errors.New("add_prefix_space true (the default) is not supported, only false")
	}
	if b.UseRegex != nil && !*b.UseRegex {
		return pattern, nil
	}
	if pattern != "" {
		return "", errors.New("use_regex true (the default) after a \"Split\" is not supported, only false")
	}
	return patternGPT2, nil
}

// checkPostProcessor accepts what puts no token around the text.
func checkPostProcessor(data json.RawMessage) error {
	list, err := parts(data, "processors")
	if err != nil {
		return fmt.Errorf("post_processor: %w", err)
	}
	for _, part := range list {
		typ, err := typeOf(part)
		if err != nil {
			return fmt.Errorf("post_processor: %w", err)
		}
		switch typ {
		case "ByteLevel": // it trims offsets
		case "TemplateProcessing":
			var template struct {
				Single []map[string]json.RawMessage `json:"single"`
			}
			if err := json.Unmarshal(part, &template); err != nil {
				return fmt.Errorf("post_processor: %w", err)
			}
			for _, piece := range template.Single {
				if token, ok := piece["SpecialToken"]; ok {
					return fmt.Errorf("post_processor: TemplateProcessing: single holds SpecialToken %s: tokens around the text are not supported", token)
				}
			}
		default:
			return fmt.Errorf("post_processor: type %q is not supported, only \"ByteLevel\" and \"TemplateProcessing\"", typ)
		}
	}
	return nil
}

func checkDecoder(data json.RawMessage) error {
	list, err := parts(data, "decoders")
	if err != nil {
		return fmt.Errorf("decoder: %w", err)
	}
	for _, part := range list {
		typ, err := typeOf(part)
		if err != nil {
			return fmt.Errorf("decoder: %w", err)
		}
		if typ != "ByteLevel" {
			return fmt.Errorf("decoder: type %q is not supported, only \"ByteLevel\"", typ)
		}
	}
	if len(list) != 1 {
		return fmt.Errorf("decoder: %d decoders, one \"ByteLevel\" is supported", len(list))
	}
	return nil
}
