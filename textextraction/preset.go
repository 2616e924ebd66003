package textextraction

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Preset says how a model wants to be asked for a page, and how its answer is read: what a finetune of Qwen-VL was trained
// with, as data. [Presets] lists those that come with the library, and [PresetFor] finds a model's. Others are written in
// Go or in JSON, and given to QwenTextPyTorchConfig.CustomPreset.
//
// What a config or a call says itself wins over the preset: prompts, pixels, tokens, sampling.
//
// In JSON it has the names that its tags say; unknown names are errors.
type Preset struct {
	// Name is what QwenTextPyTorchConfig.Preset calls it, such as "chandra2".
	Name string `json:"name"`
	// Models are the ids on the hub of the models that it is for, such as "datalab-to/chandra-ocr-2". "*", "?" and "[ab]"
	// stand for what they do in [path.Match]; case does not count.
	Models []string `json:"models,omitempty"`
	// ModelTypes are the model types of config.json that it is for where no preset knows the model by its name.
	ModelTypes []string `json:"model_types,omitempty"`
	// Note tells a user what else there is to know.
	Note string `json:"note,omitzero"`

	// Prompts are the texts of the user's turn. A format without one cannot be asked for, except with a prompt of the
	// caller's own.
	Prompts Prompts `json:"prompts"`
	// SystemPrompt is the text of the system's turn. Empty means that the chat template is given none, and may have its own.
	SystemPrompt string `json:"system_prompt,omitzero"`
	// TextFirst puts the prompt before the image. The order is trained in: the other one gives worse text.
	TextFirst bool `json:"text_first,omitzero"`

	// PageSize says how a page is scaled before the checkpoint's processor scales it. Zero means not at all. MinPixels or
	// MaxPixels of a config or call take the place of PageSize, CheckpointBounds and the preset's own pixels together.
	PageSize PageSize `json:"page_size,omitzero"`
	// CheckpointBounds makes a MinPixels or MaxPixels of zero mean the bound in the checkpoint's processor, and not that of
	// the budget for documents.
	CheckpointBounds bool `json:"checkpoint_bounds,omitzero"`
	// MinPixels and MaxPixels bound the area in pixels to which the processor scales a page.
	MinPixels int `json:"min_pixels,omitzero"`
	MaxPixels int `json:"max_pixels,omitzero"`

	// MaxNewTokens bounds the answer to a page, in tokens, from 256 to 32768. Zero means 8192.
	MaxNewTokens int `json:"max_new_tokens,omitzero"`
	// Temperature, TopP and TopK say how tokens are drawn, as in [Sampling]. Zero means greedily.
	Temperature float64 `json:"temperature,omitzero"`
	TopP        float64 `json:"top_p,omitzero"`
	TopK        int     `json:"top_k,omitzero"`
	// Stops are tokens, as the model's tokenizer spells them, that end an answer beside those of the checkpoint.
	Stops []string `json:"stops,omitempty"`

	// Boxes is the space of the coordinates in the model's answer.
	Boxes BoxSpace `json:"boxes,omitzero"`
	// KeepSpecialTokens leaves special tokens in the answer, for models that write their structure with them.
	KeepSpecialTokens bool `json:"keep_special_tokens,omitzero"`
	// Parser says how the answer is read.
	Parser Parser `json:"parser,omitzero"`
}

// Prompts are the prompt of each format. An empty one means that the model does not write the format.
type Prompts struct {
	Markdown string `json:"markdown,omitzero"`
	HTML     string `json:"html,omitzero"`
}

// Of returns the prompt of a format, or "" if there is none.
func (p Prompts) Of(f Format) string {
	switch f {
	case Markdown:
		return p.Markdown
	case HTML:
		return p.HTML
	}
	return ""
}

// BoxSpace is the space of a model's coordinates.
type BoxSpace string

// The spaces.
const (
	// BoxesNone means that the model writes no coordinates, or none that are read.
	BoxesNone BoxSpace = ""
	// Boxes1000 goes from 0 to 1000 on either side of the page.
	Boxes1000 BoxSpace = "0-1000"
	// Boxes1024 goes from 0 to 1024.
	Boxes1024 BoxSpace = "0-1024"
	// BoxesResized has the pixels of the page as the processor scaled it.
	BoxesResized BoxSpace = "resized"
)

// boxSpaces is the table of all spaces, with their extent. That of BoxesResized is not known before a page is.
var boxSpaces = map[BoxSpace]float64{BoxesNone: 0, Boxes1000: 1000, Boxes1024: 1024, BoxesResized: 0}

// Parser is a way to read a model's answer. No parser loses text: what it cannot read it takes for text.
type Parser string

// The parsers.
const (
	// ParserClean is the cleaning of the base models' answers, see [Clean] and [PlainText].
	ParserClean Parser = ""
	// ParserLayoutHTML reads HTML whose top-level elements are the blocks of the page: data-bbox has a block's place, and
	// data-label or class its label. Content is the HTML within the blocks, or Markdown made of it, with tables left in HTML.
	// As in Chandra, page headers and footers are left out of it, and are in Elements.
	ParserLayoutHTML Parser = "layout_html"
	// ParserFrontMatter reads Markdown with olmOCR's front matter. Content is the Markdown behind it.
	ParserFrontMatter Parser = "front_matter"
	// ParserLayoutJSON reads a list of {"bbox", "category", "text"}. Content is the texts with empty lines between them; page
	// headers, footers and footnotes are left out of it, and are in Elements.
	ParserLayoutJSON Parser = "layout_json"
	// ParserLayoutTokens reads MinerU's <|box_start|>…<|box_end|><|ref_start|>…<|ref_end|> into Elements. Content is the answer.
	ParserLayoutTokens Parser = "layout_tokens"
)

// parsers is the table of all parsers.
var parsers = map[Parser]struct {
	read  func(*answerReader)
	boxes bool // it has coordinates to scale
}{
	ParserClean:        {(*answerReader).clean, false},
	ParserLayoutHTML:   {(*answerReader).layoutHTML, true},
	ParserFrontMatter:  {(*answerReader).frontMatter, false},
	ParserLayoutJSON:   {(*answerReader).layoutJSON, true},
	ParserLayoutTokens: {(*answerReader).layoutTokens, true},
}

// UnmarshalJSON reads a preset. Unknown names are errors. Values are checked when the preset is used.
func (p *Preset) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	type plain Preset // without this method
	var read plain
	if err := unmarshalStrict(data, &read); err != nil {
		return fmt.Errorf("textextraction: Preset: %w", err)
	}
	*p = Preset(read)
	return nil
}

var _ json.Unmarshaler = (*Preset)(nil)

// clone returns a preset that shares nothing with p.
func (p Preset) clone() Preset {
	p.Models, p.ModelTypes, p.Stops = slices.Clone(p.Models), slices.Clone(p.ModelTypes), slices.Clone(p.Stops)
	return p
}

// writes returns the names of the formats that the preset has prompts for.
func (p Preset) writes() (names []string) {
	for f := range formats {
		if p.Prompts.Of(Format(f)) != "" {
			names = append(names, Format(f).String())
		}
	}
	return names
}

func (p Preset) sampling() Sampling {
	return Sampling{Temperature: p.Temperature, TopK: p.TopK, TopP: p.TopP}
}
