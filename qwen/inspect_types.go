package qwen

// Inspection is what [Inspect] found in a checkpoint folder. What could not be read is missing, and a finding says why.
type Inspection struct {
	// ModelType and Architectures are what config.json says, whether or not this package knows them.
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures,omitempty"`
	// Loadable is true where [Load] would load it: no finding is of the kind Refused.
	Loadable bool `json:"loadable"`
	// Spec is the configuration as it is understood, nil where it is not. In JSON it is Architecture.
	Spec *Spec `json:"-"`
	// Architecture has the sizes of the two towers, "text" and "vision": Spec's fields that are not zero, in snake case.
	Architecture map[string]map[string]any `json:"architecture,omitempty"`
	// Quantization says how weights are stored where they are not plain floats.
	Quantization *QuantizedWeights `json:"quantization,omitempty"`
	// Parameters is the number of weights, without the scales of quantized ones. Numbers that are packed are not counted.
	Parameters int64 `json:"parameters"`
	// Bytes is what all tensors take in the files.
	Bytes int64 `json:"bytes"`
	// Parts are the weights by what they are for: vision, text, embedding, head, scales, unused.
	Parts []PartSize `json:"parts,omitempty"`
	// DTypes are the types of the stored tensors, that with the most bytes first.
	DTypes []DTypeSize `json:"dtypes,omitempty"`
	// Shards are the files with weights, by name.
	Shards []ShardSize `json:"shards,omitempty"`
	// Tokens are those that the configuration names.
	Tokens []NamedToken `json:"tokens,omitempty"`
	// Processor is nil where there is none that could be read.
	Processor *ProcessorLimits `json:"processor,omitempty"`
	// Template is nil where there is no chat template.
	Template *TemplateCheck `json:"chat_template,omitempty"`
	// GenerationConfig is generation_config.json as it is.
	GenerationConfig map[string]any `json:"generation_config,omitempty"`
	// Findings are what keeps the checkpoint from being loaded, and what is unusual about it.
	Findings []Finding `json:"findings"`
}

// PartSize is the size of a part of the model.
type PartSize struct {
	Name       string `json:"name"`
	Tensors    int    `json:"tensors"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
}

// DTypeSize is how much is stored in a type, by its name in the safetensors format.
type DTypeSize struct {
	DType   string `json:"dtype"`
	Tensors int    `json:"tensors"`
	Numbers int64  `json:"numbers"`
	Bytes   int64  `json:"bytes"`
}

// ShardSize is a file with weights.
type ShardSize struct {
	File    string `json:"file"`
	Tensors int    `json:"tensors"`
	Bytes   int64  `json:"bytes"`
}

// NamedToken is a token that the configuration names: Role is "image", "eos" or "pad". Text is empty where the tokenizer has no
// such token, or cannot be read.
type NamedToken struct {
	Role string `json:"role"`
	ID   int32  `json:"id"`
	Text string `json:"text,omitempty"`
}

// ProcessorLimits are the sizes that pages are brought to. A visual token is a square of PatchSize×MergeSize pixels.
type ProcessorLimits struct {
	PatchSize         int `json:"patch_size"`
	MergeSize         int `json:"merge_size"`
	TemporalPatchSize int `json:"temporal_patch_size"`
	// MinPixels and MaxPixels are the checkpoint's own limits, DocumentMinPixels and DocumentMaxPixels those that pages are
	// read within unless asked otherwise ([Processor.DocumentBounds]).
	MinPixels         int `json:"min_pixels"`
	MaxPixels         int `json:"max_pixels"`
	DocumentMinPixels int `json:"document_min_pixels"`
	DocumentMaxPixels int `json:"document_max_pixels"`
}

// TemplateCheck is what became of the chat template on a prompt with one image.
type TemplateCheck struct {
	// Renders is true where the prompt came out with one place for the image, and could be tokenized.
	Renders bool `json:"renders"`
	// Prompt is what it made of an image and the text "qwenvl markdown".
	Prompt string `json:"prompt,omitempty"`
}

// The kinds of findings.
const (
	// Refused keeps the checkpoint from being loaded.
	Refused = "refused"
	// Note is unusual, and no obstacle.
	Note = "note"
)

// Finding is one thing about a checkpoint that its user should know.
type Finding struct {
	// Kind is Refused or Note.
	Kind string `json:"kind"`
	// About is the file, or what else is meant: "config.json", "weights".
	About string `json:"about"`
	Text  string `json:"text"`
	// Items are the tensors or files that it is about, where it is about several.
	Items []string `json:"items,omitempty"`
}
