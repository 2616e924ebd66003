package textextraction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/omnidocs/omnidocs/backend"
)

// QwenTextVLLMConfig runs a Qwen-VL model in this process for many pages at a time: pages join the batch as there is room and
// leave as they end, whichever call they come from. It has the fields of Python's config of this name; vLLM itself plays no
// part. The zero value is usable: every zero field stands for the default that its comment states. A field that this library
// cannot serve yet is refused, not passed over.
//
// In JSON it has Python's names (tensor_parallel_size, max_model_len), and unknown names are errors.
type QwenTextVLLMConfig struct {
	// Model is a hub id, a folder, or [TinyModel]. Empty means [DefaultModel].
	Model string `json:"model,omitzero"`
	// Revision is a branch, tag or commit of the model on the hub. Empty means "main". A folder has none.
	Revision string `json:"revision,omitzero"`
	// TensorParallelSize is how many devices the model is divided among, each of which holds about that part of its weights and its
	// cache. It must divide the model's numbers of heads and its inner widths: 1, 2 and 4 do for most models, and the error says what
	// would. Zero means 1.
	TensorParallelSize int `json:"tensor_parallel_size,omitzero"`
	// Devices is how many devices are used in all, a multiple of TensorParallelSize: where it is more than once that, as many engines
	// run behind the extractor, each with its own copy of the model. Zero means TensorParallelSize.
	Devices int `json:"devices,omitzero"`
	// DeviceIDs are the numbers of the devices that are used, counted from 0. Empty means the first ones.
	DeviceIDs []int `json:"device_ids,omitempty"`
	// GPUMemoryUtilization is the share of the device's memory for weights, cache and what pages need on their way, from 0.1 to 1. On
	// GPUs it is reserved at load, of all the memory that there is; on CPUs it counts of what is free. A model that does not fit is
	// refused before anything is loaded, with an error that matches [ErrOutOfMemory] and says what would help. Zero means 0.85, or
	// MemoryLimit.
	GPUMemoryUtilization float64 `json:"gpu_memory_utilization,omitzero"`
	// MemoryLimit is the same in bytes of each device, in its place. Zero means GPUMemoryUtilization; negative is no limit.
	MemoryLimit int64 `json:"memory_limit,omitzero"`
	// MaxModelLen bounds a page's prompt and answer together, in tokens, from 1024 up. It is an error if memory does not hold one such
	// page. Zero means 32768, or what memory holds where that is less. A model with a shorter context has its own.
	MaxModelLen int `json:"max_model_len,omitzero"`
	// MaxNumSeqs is how many pages are written together at most by each engine, from 1 to 1024 (vLLM's max_num_seqs). Zero means as
	// many as memory has room for, with a page's worth of answer each: at most 8 on CPUs and 256 on GPUs, where more gain little.
	MaxNumSeqs int `json:"max_num_seqs,omitzero"`
	// TrustRemoteCode is accepted for Python's sake and changes nothing: code that comes with a model is never run.
	TrustRemoteCode bool `json:"trust_remote_code,omitzero"`
	// EnforceEager leaves out the page that is read at load so that the first pages need not wait for compilation.
	EnforceEager bool `json:"enforce_eager,omitzero"`
	// MaxTokens bounds the answer to a page, in tokens, from 256 to 32768. Zero means the preset's, or 8192.
	MaxTokens int `json:"max_tokens,omitzero"`
	// Temperature is that of sampling, from 0 to 2. Zero means greedy: the same text on every run. Python's default is 0.1,
	// which is not. With Temperature, TopP and TopK all zero it is as the preset says, if it does; TopK 1 is greedy.
	Temperature float64 `json:"temperature,omitzero"`
	// TopP keeps the most likely tokens that together have this probability, from 0 to 1. Zero means 1, all.
	TopP float64 `json:"top_p,omitzero"`
	// TopK keeps this many of the most likely tokens. Zero means all.
	TopK int `json:"top_k,omitzero"`
	// Seed makes sampling repeatable. Every page starts from it.
	Seed uint64 `json:"seed,omitzero"`
	// DownloadDir is the folder of downloaded models, in the layout of Python's huggingface_hub. Empty means the hub's own.
	DownloadDir string `json:"download_dir,omitzero"`
	// DisableCustomAllReduce is accepted for Python's sake and changes nothing: devices add up with XLA's own all-reduce.
	DisableCustomAllReduce bool `json:"disable_custom_all_reduce,omitzero"`
	// Device, TorchDtype, Quantization, Preset, CustomPreset, MinPixels, MaxPixels and SystemPrompt are those of
	// [QwenTextPyTorchConfig].
	Device       string  `json:"device,omitzero"`
	TorchDtype   string  `json:"torch_dtype,omitzero"`
	Quantization string  `json:"quantization,omitzero"`
	Preset       string  `json:"preset,omitzero"`
	CustomPreset *Preset `json:"custom_preset,omitempty"`
	MinPixels    int     `json:"min_pixels,omitzero"`
	MaxPixels    int     `json:"max_pixels,omitzero"`
	SystemPrompt string  `json:"system_prompt,omitzero"`
	// OutOfMemoryRetries is that of [QwenTextPyTorchConfig].
	OutOfMemoryRetries int `json:"out_of_memory_retries,omitzero"`
	// MaxContinuations is how often an answer that has reached its bound on tokens is allowed as many more, up to the model's context;
	// 0 to 32. Zero means that it is cut there, and its result is marked Truncated.
	MaxContinuations int `json:"max_continuations,omitzero"`
	// Repetition says what becomes of answers that run into loops. The zero value takes them back and lets them go on.
	Repetition Repetition `json:"repetition,omitzero"`
	// ReadBlankPages and DetectOrientation are those of [QwenTextPyTorchConfig].
	ReadBlankPages    bool `json:"read_blank_pages,omitzero"`
	DetectOrientation bool `json:"detect_orientation,omitzero"`
	// VisionCache, PrefixCache and CompileCache are those of [QwenTextPyTorchConfig].
	VisionCache  int64  `json:"vision_cache,omitzero"`
	PrefixCache  int64  `json:"prefix_cache,omitzero"`
	CompileCache string `json:"compile_cache,omitzero"`
	// Logger is told what is done. Nil means nobody.
	Logger *slog.Logger `json:"-"`
	// Progress is told how far the download and the loading of the model have come. Nil means nobody.
	Progress func(LoadProgress) `json:"-"`
	// Observer hears what happens in the engine: pages that come, start and end, calls of the model, compilations. The zero value hears
	// nothing.
	Observer Observer `json:"-"`
}

// Bounds of MaxModelLen, and what zero fields stand for.
const (
	minModelLen        = 1024
	defaultModelLen    = 32768
	defaultUtilization = 0.85
)

// UnmarshalJSON reads a config with Python's names. Unknown names are errors; null leaves a field at its default.
func (c *QwenTextVLLMConfig) UnmarshalJSON(data []byte) error {
	type plain QwenTextVLLMConfig // without this method
	read := plain(*c)
	if err := unmarshalStrict(data, &read); err != nil {
		return fmt.Errorf("textextraction: QwenTextVLLMConfig: %w", err)
	}
	*c = QwenTextVLLMConfig(read)
	return nil
}

// shared are the fields that both configs have.
func (c QwenTextVLLMConfig) shared() QwenTextPyTorchConfig {
	return QwenTextPyTorchConfig{
		Model: c.Model, Revision: c.Revision, Device: c.Device, TorchDtype: c.TorchDtype, Quantization: c.Quantization,
		Devices: c.Devices, DeviceIDs: c.DeviceIDs, CacheDir: c.DownloadDir, Preset: c.Preset, CustomPreset: c.CustomPreset, MaxNewTokens: c.MaxTokens,
		Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK, Seed: c.Seed, MinPixels: c.MinPixels, MaxPixels: c.MaxPixels,
		SystemPrompt: c.SystemPrompt, Repetition: c.Repetition, MaxContinuations: c.MaxContinuations, OutOfMemoryRetries: c.OutOfMemoryRetries,
		ReadBlankPages: c.ReadBlankPages, DetectOrientation: c.DetectOrientation,
		VisionCache: c.VisionCache, PrefixCache: c.PrefixCache, CompileCache: c.CompileCache, BatchSize: c.MaxNumSeqs, Logger: c.Logger, Progress: c.Progress, Observer: c.Observer,
	}
}

func (c QwenTextVLLMConfig) check() (settings, error) {
	s, shared := c.shared().settings()
	s.config = "QwenTextVLLMConfig"
	f := shared.faults("MaxTokens", "MaxNumSeqs")
	n, size := shared.devices(), max(1, c.TensorParallelSize)
	f.check(c.TensorParallelSize >= 0, "TensorParallelSize", c.TensorParallelSize, "is negative")
	f.check(n == 0 || n%size == 0, "Devices", n, fmt.Sprintf("is no multiple of TensorParallelSize, %d", size))
	s.batchSize *= max(size, n) / size // each engine has its own pages
	f.check(c.GPUMemoryUtilization == 0 || c.GPUMemoryUtilization >= 0.1 && c.GPUMemoryUtilization <= 1, "GPUMemoryUtilization",
		c.GPUMemoryUtilization, "is outside 0.1 to 1 (0 means 0.85)")
	f.check(c.GPUMemoryUtilization == 0 || c.MemoryLimit == 0, "MemoryLimit", c.MemoryLimit,
		"is given together with GPUMemoryUtilization, whose place it takes; leave one of them 0")
	f.check(c.MaxModelLen == 0 || c.MaxModelLen >= minModelLen, "MaxModelLen", c.MaxModelLen, fmt.Sprintf("is less than %d", minModelLen))
	return s, f.err(s.config)
}

// loadOptions are what the engine is loaded with.
func (c QwenTextVLLMConfig) loadOptions() backend.LoadOptions {
	_, shared := c.shared().settings()
	o := shared.loadOptions()
	if o.MaxBatch = c.MaxNumSeqs; o.MaxBatch == 0 {
		o.MaxBatch = backend.BatchThatFits
	}
	if o.MaxModelLen = c.MaxModelLen; o.MaxModelLen == 0 {
		o.MaxModelLen, o.ShorterModelLen = defaultModelLen, true
	}
	o.TensorParallelSize = c.TensorParallelSize
	o.MemoryLimit, o.MemoryUtilization = c.MemoryLimit, c.GPUMemoryUtilization
	if o.MemoryLimit == 0 && o.MemoryUtilization == 0 {
		o.MemoryUtilization = defaultUtilization
	}
	return o
}

func (c QwenTextVLLMConfig) load(ctx context.Context) (engine, error) {
	o := c.loadOptions()
	e, err := loadEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	if !c.EnforceEager {
		if err := e.Warmup(ctx); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}
