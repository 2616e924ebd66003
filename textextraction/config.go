package textextraction

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/omnidocs/omnidocs/backend"
)

// Models that need no name to be looked up.
const (
	// DefaultModel is the model of a config that names none. It is downloaded from the hub on first use: about 17 GB.
	DefaultModel = "Qwen/Qwen3-VL-8B-Instruct"
	// TinyModel is a small model of the same architecture that comes inside the library: no download, no device. It
	// reads clean monospaced print; it is for first steps and tests, not for real documents.
	TinyModel = "omnidocs/tiny"
)

// Config says which model an extractor runs, and where: a [QwenTextPyTorchConfig], a [QwenTextVLLMConfig] or a
// [QwenTextAPIConfig].
type Config interface {
	// check returns the config's part in every call, defaults filled in, or every fault of it.
	check() (settings, error)
	// load loads the model of a config that has been checked.
	load(ctx context.Context) (engine, error)
}

// QwenTextPyTorchConfig runs a Qwen-VL model in this process, one page at a time unless BatchSize says otherwise. It has
// the fields of Python's config of this name; PyTorch itself plays no part. The zero value is usable: every zero field
// stands for the default that its comment states.
//
// In JSON it has Python's names (max_new_tokens, torch_dtype), and unknown names are errors.
type QwenTextPyTorchConfig struct {
	// Model is a model id on the Hugging Face hub, a folder with a checkpoint, or TinyModel. Empty means DefaultModel.
	Model string `json:"model,omitzero"`
	// Revision is a branch, tag or commit of the model on the hub. Empty means "main". A folder has none.
	Revision string `json:"revision,omitzero"`
	// Device is where the model runs: "go", "xla:cpu", "cpu", "cuda" and so on, see package backend. A device named here
	// is never replaced by another; Python falls back to the CPU without a word. Empty means the best that there is.
	Device string `json:"device,omitzero"`
	// Devices is how many devices of that kind are used. With more than one as many engines run behind the extractor, each with its own
	// copy of the model on a device of its own, and a page goes to the one with the least to do. Zero means 1.
	Devices int `json:"devices,omitzero"`
	// DeviceIDs are the numbers of the devices that are used, counted from 0, in the place of Devices. Empty means the first ones.
	DeviceIDs []int `json:"device_ids,omitempty"`
	// TorchDtype is the type of the weights: "auto", "float32", "bfloat16" or "float16". Empty means "auto": what suits
	// the device.
	TorchDtype string `json:"torch_dtype,omitzero"`
	// Quantization is "" or "int8": weights rounded to int8 as they are loaded, in a quarter of float32's memory. It takes
	// the place of TorchDtype. On xla:cpu it is also the fastest; see the README for what it costs.
	Quantization string `json:"quantization,omitzero"`
	// DeviceMap must be "" or "auto": the whole model is on Device.
	DeviceMap string `json:"device_map,omitzero"`
	// TrustRemoteCode is accepted for Python's sake and changes nothing: code that comes with a model is never run.
	TrustRemoteCode bool `json:"trust_remote_code,omitzero"`
	// UseFlashAttention must be false: the kernel of the attention is chosen for the device, not by the caller.
	UseFlashAttention bool `json:"use_flash_attention,omitzero"`
	// CacheDir is the folder of downloaded models, in the layout of Python's huggingface_hub. Empty means the hub's own
	// (HF_HOME and its kin).
	CacheDir string `json:"cache_dir,omitzero"`
	// Preset names the [Preset] to read pages with, see [Presets]. Empty means the one for the model, see [PresetFor]; for
	// the base models and those that no preset is known for, their prompts and the defaults below. What is set here or in
	// a call wins over the preset.
	Preset string `json:"preset,omitzero"`
	// CustomPreset is a preset of your own, in the place of Preset. Nil means none.
	CustomPreset *Preset `json:"custom_preset,omitempty"`
	// MaxNewTokens bounds the answer to a page, in tokens, from 256 to 32768. Zero means the preset's, or 8192.
	MaxNewTokens int `json:"max_new_tokens,omitzero"`
	// Temperature is that of sampling, from 0 to 2. Zero means greedy: the same text on every run. Python's default is
	// 0.1, which is not. With Temperature, TopP and TopK all zero it is as the preset says, if it does; TopK 1 is greedy.
	Temperature float64 `json:"temperature,omitzero"`
	// TopP keeps the most likely tokens that together have this probability, from 0 to 1. Zero means 1, all.
	TopP float64 `json:"top_p,omitzero"`
	// TopK keeps this many of the most likely tokens. Zero means all.
	TopK int `json:"top_k,omitzero"`
	// Seed makes sampling repeatable. Every page starts from it, so that a page's text does not hang on its neighbors.
	Seed uint64 `json:"seed,omitzero"`
	// MinPixels and MaxPixels bound the area in pixels to which a page is resized. Zero means the engine's own bounds.
	// Without either of them it is as the preset says, if it does.
	MinPixels int `json:"min_pixels,omitzero"`
	MaxPixels int `json:"max_pixels,omitzero"`
	// SystemPrompt is the text of a system turn. Empty means the preset's; the base models' has none, as in Python. The bare prompts fail on some small
	// models; "QwenVL Document Parser HTML format" is a system prompt that helps there.
	SystemPrompt string `json:"system_prompt,omitzero"`
	// BatchSize is how many pages each engine decodes together, from 1 to 1024. Zero means 1.
	BatchSize int `json:"batch_size,omitzero"`
	// MaxContinuations is how often an answer that has reached its bound on tokens is allowed as many more, up to the model's context;
	// 0 to 32. Zero means that it is cut there, and its result is marked Truncated.
	MaxContinuations int `json:"max_continuations,omitzero"`
	// Repetition says what becomes of answers that run into loops. The zero value takes them back and lets them go on.
	Repetition Repetition `json:"repetition,omitzero"`
	// ReadBlankPages asks the model even of pages with nothing on them, for which it may make up a text. Otherwise such a page gives
	// an empty result with [FinishBlank].
	ReadBlankPages bool `json:"read_blank_pages,omitzero"`
	// DetectOrientation finds out which way up a page is before it is read: it is begun to be read in each of the four ways, small and a few
	// tokens long, and the one of which the model is surest is taken. The result's Turn says which; boxes are those of the image as it
	// came. It costs about as much as a short page. EXIF data is honored without it, see [LoadImage].
	DetectOrientation bool `json:"detect_orientation,omitzero"`
	// MemoryLimit is what the model, its cache and the pages on their way may take of the device's memory, in bytes. A model that
	// does not fit is refused before anything is loaded, with an error that matches [ErrOutOfMemory] and says what would help. Zero
	// means what is free; negative is no limit.
	MemoryLimit int64 `json:"memory_limit,omitzero"`
	// OutOfMemoryRetries is how many times a page that the device's memory has no room for is tried again, each time with half the
	// pixels, from 0 to 8. Zero means that it fails, with an error that matches [ErrOutOfMemory]. The result's VisualTokens tell.
	OutOfMemoryRetries int `json:"out_of_memory_retries,omitzero"`
	// VisionCache and PrefixCache are what earlier pages may take of each device's memory, in bytes, so that one which is asked for again, as
	// HTML after Markdown, goes neither through the vision tower nor, but for the few tokens that differ, through the prompt; prompts with one
	// long SystemPrompt share it. Zero means 64 MiB, and on "go" what the largest page's prompt leaves, where memory has room for it, elsewhere
	// none, since XLA's first pass through a prompt is then somewhat slower; negative is none.
	VisionCache int64 `json:"vision_cache,omitzero"`
	PrefixCache int64 `json:"prefix_cache,omitzero"`
	// CompileCache is the folder in which XLA's compiled programs are kept, so that the next start compiles nothing again. Empty means
	// that of the environment's OMNIDOCS_COMPILE_CACHE, else omnidocs/compiled in the user's folder of caches; "off" is none.
	CompileCache string `json:"compile_cache,omitzero"`
	// Logger is told what is done. Nil means nobody.
	Logger *slog.Logger `json:"-"`
	// Progress is told how far the download and the loading of the model have come. Nil means nobody.
	Progress func(LoadProgress) `json:"-"`
	// Observer hears what happens in the engine: pages that come, start and end, calls of the model, compilations. The zero value hears
	// nothing.
	Observer Observer `json:"-"`
}

const (
	maxBatchSize          = 1024
	maxOutOfMemoryRetries = 8
)

// torchDtypes are the values of TorchDtype.
var torchDtypes = []string{"auto", "float32", "bfloat16", "float16"}

// UnmarshalJSON reads a config with Python's names. Unknown names are errors; null leaves a field at its default.
func (c *QwenTextPyTorchConfig) UnmarshalJSON(data []byte) error {
	type plain QwenTextPyTorchConfig // without this method
	read := plain(*c)
	if err := unmarshalStrict(data, &read); err != nil {
		return fmt.Errorf("textextraction: QwenTextPyTorchConfig: %w", err)
	}
	*c = QwenTextPyTorchConfig(read)
	return nil
}

func (c QwenTextPyTorchConfig) withDefaults() QwenTextPyTorchConfig {
	if c.Model == "" {
		c.Model = DefaultModel
	}
	if c.TorchDtype == "" {
		c.TorchDtype = "auto"
	}
	if c.MaxNewTokens == 0 {
		c.MaxNewTokens = defaultNewTokens
	}
	if c.BatchSize == 0 {
		c.BatchSize = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate returns every fault of a config whose defaults are filled in.
func (c QwenTextPyTorchConfig) validate() error {
	return c.faults("MaxNewTokens", "BatchSize").err("QwenTextPyTorchConfig")
}

// faults are those of a config whose defaults are filled in, with the names that two of its fields go by.
func (c QwenTextPyTorchConfig) faults(tokens, batch string) (f faults) {
	f.check(slices.Contains(torchDtypes, c.TorchDtype), "TorchDtype", c.TorchDtype,
		"is not one of "+strings.Join(torchDtypes, ", "))
	f.check(c.Quantization == "" || c.Quantization == backend.QuantizationInt8, "Quantization", c.Quantization,
		`is not "" or "int8"; a checkpoint in FP8 needs no value here, it is read as it is`)
	f.check(c.Quantization == "" || c.TorchDtype == "auto", "TorchDtype", c.TorchDtype,
		"is given together with Quantization, which takes its place; leave one of them empty")
	checkDevices(&f, c)
	f.check(c.DeviceMap == "" || c.DeviceMap == "auto", "DeviceMap", c.DeviceMap,
		`is not supported; leave it empty or "auto", and name the device in Device`)
	f.check(!c.UseFlashAttention, "UseFlashAttention", c.UseFlashAttention,
		"is not supported; the attention kernel is chosen for the device, leave it false")
	checkPreset(&f, c.Preset, c.CustomPreset)
	f.check(c.MaxNewTokens >= minConfigNewTokens && c.MaxNewTokens <= maxNewTokens, tokens, c.MaxNewTokens,
		fmt.Sprintf("is outside %d to %d; Options.MaxNewTokens may be smaller", minConfigNewTokens, maxNewTokens))
	checkSampling(&f, c.sampling())
	checkPixels(&f, c.MinPixels, c.MaxPixels)
	checkContinuations(&f, c.MaxContinuations)
	f.check(c.OutOfMemoryRetries >= 0 && c.OutOfMemoryRetries <= maxOutOfMemoryRetries, "OutOfMemoryRetries", c.OutOfMemoryRetries,
		fmt.Sprintf("is outside 0 to %d", maxOutOfMemoryRetries))
	f.add(c.Repetition.Validate())
	f.check(c.BatchSize >= 1 && c.BatchSize <= maxBatchSize, batch, c.BatchSize,
		fmt.Sprintf("is outside 1 to %d", maxBatchSize))
	return f
}

func (c QwenTextPyTorchConfig) sampling() Sampling {
	return Sampling{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, Seed: c.Seed}
}

// devices is how many are asked for, 0 where that is left open.
func (c QwenTextPyTorchConfig) devices() int {
	if len(c.DeviceIDs) > 0 {
		return len(c.DeviceIDs)
	}
	return max(0, c.Devices)
}

func checkDevices(f *faults, c QwenTextPyTorchConfig) {
	f.check(c.Devices >= 0, "Devices", c.Devices, "is negative")
	f.check(c.Devices == 0 || len(c.DeviceIDs) == 0 || c.Devices == len(c.DeviceIDs), "Devices", c.Devices,
		fmt.Sprintf("is not the number of DeviceIDs, %d; leave it 0", len(c.DeviceIDs)))
	for i, id := range c.DeviceIDs {
		f.check(id >= 0 && !slices.Contains(c.DeviceIDs[:i], id), "DeviceIDs", c.DeviceIDs, "are not different numbers from 0 up")
	}
}

func (c QwenTextPyTorchConfig) check() (settings, error) {
	s, filled := c.settings()
	s.batchSize *= max(1, c.devices()) // each engine has its own pages
	return s, filled.validate()
}

// settings returns the config's part in every call, and the config with the preset's values and the defaults filled in.
func (c QwenTextPyTorchConfig) settings() (settings, QwenTextPyTorchConfig) {
	own := c.withDefaults()
	preset := choosePreset(own.Model, own.Preset, own.CustomPreset)
	if preset != nil && preset.validate() != nil {
		preset = nil // told by validate; its values are not told again as the config's
	}
	c = preset.fill(c).withDefaults()
	return settings{
		config:    "QwenTextPyTorchConfig",
		smaller:   c.OutOfMemoryRetries,
		batchSize: c.BatchSize,
		preset:    preset,
		options: Options{
			SystemPrompt:     c.SystemPrompt,
			MaxNewTokens:     c.MaxNewTokens,
			MinPixels:        c.MinPixels,
			MaxPixels:        c.MaxPixels,
			Sampling:         c.sampling(),
			Repetition:       c.Repetition,
			MaxContinuations: c.MaxContinuations,

			ReadBlankPages:    c.ReadBlankPages,
			DetectOrientation: c.DetectOrientation,
		},
		logger: c.Logger,
	}, c
}

// unmarshalStrict is json.Unmarshal that refuses names that v does not have, as pydantic's extra="forbid" does.
func unmarshalStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
