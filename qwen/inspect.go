package qwen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/internal/chat"
	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// inspector gathers an Inspection. Its model has what Load would have given it, and no weights.
type inspector struct {
	Inspection
	fsys  fs.FS
	model Model
	raw   inspectedConfig
}

// inspectedConfig are the keys of config.json that can be told of any model.
type inspectedConfig struct {
	ModelType     string          `json:"model_type"`
	Architectures []string        `json:"architectures"`
	ImageToken    *int32          `json:"image_token_id"`
	EOS           json.RawMessage `json:"eos_token_id"`
	Pad           json.RawMessage `json:"pad_token_id"`
	Text          struct {
		EOS json.RawMessage `json:"eos_token_id"`
		Pad json.RawMessage `json:"pad_token_id"`
	} `json:"text_config"`
	Quantization json.RawMessage `json:"quantization_config"`
}

// Inspect says what a checkpoint folder holds, without loading it: of the weights only the headers are read. It looks at what
// [Load] would, in the same way, and at more; that a checkpoint cannot be loaded is a finding, and not an error. An error is
// that there is no checkpoint at all.
func Inspect(fsys fs.FS) (*Inspection, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("qwen: inspect: %w", err)
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "config.json" || isWeightFile(e.Name()) }) {
		return nil, fmt.Errorf("qwen: inspect: neither config.json nor weights are there: %w (a checkpoint is a folder with "+
			"config.json, tokenizer.json and *.safetensors)", fs.ErrNotExist)
	}
	in := &inspector{fsys: fsys}
	in.config()
	in.generation()
	in.processor()
	in.tokenizer()
	in.template()
	in.weights()
	in.files(entries)
	in.Loadable = !slices.ContainsFunc(in.Findings, func(f Finding) bool { return f.Kind == Refused })
	return &in.Inspection, nil
}

func (in *inspector) refuse(about string, err error) {
	in.Findings = append(in.Findings, Finding{Kind: Refused, About: about, Text: err.Error()})
}

func (in *inspector) note(about, format string, args ...any) {
	in.Findings = append(in.Findings, Finding{Kind: Note, About: about, Text: fmt.Sprintf(format, args...)})
}

// config reads the configuration: as Load does, or, where it refuses, as far as it goes.
func (in *inspector) config() {
	data, err := fs.ReadFile(in.fsys, "config.json")
	if err == nil {
		_ = json.Unmarshal(data, &in.raw) // ReadSpec says what is wrong with it
	}
	in.ModelType, in.Architectures = in.raw.ModelType, in.raw.Architectures
	s, err := ReadSpec(in.fsys)
	if err != nil {
		in.refuse("config.json", err)
		var plain map[string]json.RawMessage
		if json.Unmarshal(data, &plain) != nil {
			return
		}
		delete(plain, "quantization_config") // a format that is not read hides no architecture
		data, err := json.Marshal(plain)
		if err != nil {
			return
		}
		if s, err = parseSpec(data); err != nil {
			return
		}
	}
	in.Spec, in.Quantization, in.model.Spec = &s, s.Quantization, s
	in.Architecture = map[string]map[string]any{"text": fieldMap(s.Text), "vision": fieldMap(s.Vision)}
	if q := s.Quantization; q != nil {
		in.note("config.json", "weights are stored as %s: they are multiplied with their scales while they are read, to the type that "+
			"the model is loaded in", quantizationName(q))
		if q.Activations != "" {
			in.note("config.json", "activations are not quantized, though the checkpoint was made for it (%s scales)", q.Activations)
		}
		if q.KVCache {
			in.note("config.json", "the key-value cache is not quantized, though the checkpoint has scales for it")
		}
	}
}

// generation reads generation_config.json. ReadSpec has said what is wrong with it.
func (in *inspector) generation() {
	if data, err := fs.ReadFile(in.fsys, "generation_config.json"); err == nil {
		_ = json.Unmarshal(data, &in.GenerationConfig)
	}
}

func (in *inspector) processor() {
	p, err := LoadProcessor(in.fsys)
	if err != nil {
		in.refuse("preprocessor_config.json", err)
		return
	}
	in.model.Processor = p
	own, document := p.Bounds(), p.DocumentBounds()
	in.Processor = &ProcessorLimits{
		PatchSize: p.PatchSize(), MergeSize: p.MergeSize(), TemporalPatchSize: p.TemporalPatchSize(),
		MinPixels: own.MinPixels, MaxPixels: own.MaxPixels, DocumentMinPixels: document.MinPixels, DocumentMaxPixels: document.MaxPixels,
	}
	if in.Spec == nil {
		return
	}
	if err := in.model.checkProcessor(); err != nil {
		in.refuse("preprocessor_config.json", err)
	}
	if area := p.Factor() * p.Factor(); own.MaxPixels < DocumentMinTokens*area {
		in.note("preprocessor_config.json", "pages have at most %d visual tokens, where %d are usual: small print may be lost",
			own.MaxPixels/area, DocumentMinTokens)
	}
}

func (in *inspector) tokenizer() {
	data, err := fs.ReadFile(in.fsys, "tokenizer.json")
	if err == nil {
		in.model.Tokenizer, err = bpe.Load(data)
	}
	if err != nil {
		in.refuse("tokenizer.json", err)
	}
	in.tokens()
	if in.model.Tokenizer == nil || in.Spec == nil {
		return
	}
	unnamed := len(in.model.Spec.EOS) == 0
	if err := in.model.checkTokens(); err != nil {
		in.refuse("tokenizer.json", err)
		return
	}
	in.Spec.EOS = in.model.Spec.EOS
	if unnamed {
		in.note("config.json", "no eos_token_id is named: an answer ends with %s", endOfTurn)
	} else if id, ok := in.model.Tokenizer.ID(endOfTurn); ok && !slices.Contains(in.Spec.EOS, id) {
		in.note("generation_config.json", "%s (%d) is not among the tokens that end an answer, %v: answers may run on",
			endOfTurn, id, in.Spec.EOS)
	}
	for _, id := range in.Spec.EOS {
		if _, ok := in.model.Tokenizer.Token(id); !ok {
			in.note("tokenizer.json", "there is no token %d, which eos_token_id names", id)
		}
	}
}

// tokens lists the tokens that the configuration names: as they are understood, or, for a model that is not, as they stand.
func (in *inspector) tokens() {
	add := func(role string, ids ...int32) {
		for _, id := range ids {
			text := ""
			if in.model.Tokenizer != nil {
				text, _ = in.model.Tokenizer.Token(id)
			}
			in.Tokens = append(in.Tokens, NamedToken{role, id, text})
		}
	}
	first := func(keys ...json.RawMessage) []int32 {
		for _, key := range keys {
			if ids, err := tokenIDs(key); err == nil && len(ids) > 0 {
				return ids
			}
		}
		return nil
	}
	var generation struct {
		EOS json.RawMessage `json:"eos_token_id"`
		Pad json.RawMessage `json:"pad_token_id"`
	}
	if data, err := fs.ReadFile(in.fsys, "generation_config.json"); err == nil {
		_ = json.Unmarshal(data, &generation) // ReadSpec says what is wrong with it
	}
	switch {
	case in.Spec != nil:
		add("image", in.Spec.ImageToken)
	case in.raw.ImageToken != nil:
		add("image", *in.raw.ImageToken)
	}
	add("eos", first(generation.EOS, in.raw.EOS, in.raw.Text.EOS)...)
	add("pad", first(generation.Pad, in.raw.Pad, in.raw.Text.Pad)...)
}

// template renders the chat template as a page's prompt is.
func (in *inspector) template() {
	t, err := chat.FromFS(in.fsys)
	if err != nil {
		in.refuse("chat template", err)
		return
	}
	in.Template = &TemplateCheck{}
	in.model.template = t
	prompt := Prompt{Text: "qwenvl markdown"}
	text, err := in.model.render(prompt, 1)
	in.Template.Prompt = text
	if err == nil && in.Spec != nil && in.model.Tokenizer != nil {
		// Load does not render; the first page would. A grid of one visual token is the smallest there is.
		merge := in.Spec.Vision.MergeSize
		_, err = in.model.Layout(prompt, []Grid{{Height: merge, Width: merge}})
	}
	if err != nil {
		in.note("chat template", "no page can be asked about: %s", err)
		return
	}
	in.Template.Renders = true
}

// weights reads the headers of the weights and holds them to the configuration.
func (in *inspector) weights() {
	file, err := checkpoint.Open(in.fsys)
	if err != nil {
		in.refuse("weights", err)
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	// Without the configuration, or in a format that is not read, nothing says what should be there.
	known := in.Spec != nil
	if in.Quantization == nil && len(in.raw.Quantization) > 0 && string(in.raw.Quantization) != "null" {
		known = false
	}
	in.sizes(file, known)
	if !known {
		return
	}
	in.head(file)
	var e *WeightsError
	switch err := checkWeights(tie(*in.Spec, file), file); {
	case errors.As(err, &e):
		in.fit(e)
	case err != nil:
		in.refuse("weights", err)
	}
}
