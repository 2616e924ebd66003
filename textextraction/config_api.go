package textextraction

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/omnidocs/omnidocs/backend/remote"
)

// QwenTextAPIConfig reads pages with a Qwen-VL model behind a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Modal's
// endpoints, OpenRouter, Azure. It has the fields of Python's config of this name. The zero value is usable where the environment has
// the provider's key.
//
// A page is sent as a PNG within the request, before the prompt or after it as the preset says. One that is larger than 2,048 visual
// tokens, or MaxPixels, is scaled down to that as for a model in this process; smaller ones are left to the server. Calls that may go
// well later are repeated, as long as the server asks in Retry-After, or longer each time.
//
// In JSON it has Python's names (api_base, max_tokens), and unknown names are errors.
type QwenTextAPIConfig struct {
	// Model is the provider and the model, as litellm names them: "openrouter/qwen/qwen3-vl-8b-instruct", "openai/NAME",
	// "hosted_vllm/NAME", "azure/DEPLOYMENT". With APIBase it may be the bare name that the server has for it. Empty means
	// [DefaultAPIModel].
	Model string `json:"model,omitzero"`
	// APIKey is the key. Empty means that in the provider's environment variable, see [APIProviders]; none is sent if that is empty.
	APIKey string `json:"api_key,omitzero"`
	// APIBase is the address below which the protocol's paths are, for example "http://localhost:8000/v1". Empty means the provider's.
	APIBase string `json:"api_base,omitzero"`
	// APIVersion is Azure's api-version. Empty means that in AZURE_API_VERSION. Others have none.
	APIVersion string `json:"api_version,omitzero"`
	// ExtraHeaders are sent with each request.
	ExtraHeaders map[string]string `json:"extra_headers,omitempty"`
	// MaxTokens bounds the answer to a page, in tokens, from 256 to 131072. Zero means the preset's, or 8192.
	MaxTokens int `json:"max_tokens,omitzero"`
	// Temperature, TopP, TopK and Seed are those of [QwenTextPyTorchConfig]. That the same seed gives the same text is the server's to
	// keep.
	Temperature float64 `json:"temperature,omitzero"`
	TopP        float64 `json:"top_p,omitzero"`
	TopK        int     `json:"top_k,omitzero"`
	Seed        uint64  `json:"seed,omitzero"`
	// Timeout bounds one attempt at a page, in seconds, from 10 up. Zero means 180.
	Timeout int `json:"timeout,omitzero"`
	// MaxRetries is how often a call that failed is repeated, from 1 to 20. Zero means 2; -1 means never.
	MaxRetries int `json:"max_retries,omitzero"`
	// MaxConcurrency is how many pages are asked for at a time, from 1 to 1024. Zero means 8.
	MaxConcurrency int `json:"max_concurrency,omitzero"`
	// Preset, CustomPreset, MinPixels, MaxPixels and SystemPrompt are those of [QwenTextPyTorchConfig].
	Preset       string  `json:"preset,omitzero"`
	CustomPreset *Preset `json:"custom_preset,omitempty"`
	MinPixels    int     `json:"min_pixels,omitzero"`
	MaxPixels    int     `json:"max_pixels,omitzero"`
	SystemPrompt string  `json:"system_prompt,omitzero"`
	// ReadBlankPages is that of [QwenTextPyTorchConfig].
	ReadBlankPages bool `json:"read_blank_pages,omitzero"`
	// HTTPClient does the calls. Nil means one as http.DefaultClient, which keeps MaxConcurrency connections.
	HTTPClient *http.Client `json:"-"`
	// Logger is told what is done. Nil means nobody.
	Logger *slog.Logger `json:"-"`
}

// DefaultAPIModel is the model of a [QwenTextAPIConfig] that names none, as in Python.
const DefaultAPIModel = "openrouter/qwen/qwen3-vl-8b-instruct"

// What zero fields stand for, and bounds.
const (
	defaultAPITimeout     = 180
	minAPITimeout         = 10
	defaultAPIRetries     = 2
	maxAPIRetries         = 20
	maxAPITokens          = 131072
	defaultAPIConcurrency = 8
)

// UnmarshalJSON reads a config with Python's names. Unknown names are errors; null leaves a field at its default.
func (c *QwenTextAPIConfig) UnmarshalJSON(data []byte) error {
	type plain QwenTextAPIConfig // without this method
	read := plain(*c)
	if err := unmarshalStrict(data, &read); err != nil {
		return fmt.Errorf("textextraction: QwenTextAPIConfig: %w", err)
	}
	*c = QwenTextAPIConfig(read)
	return nil
}

func (c QwenTextAPIConfig) withDefaults() QwenTextAPIConfig {
	if c.Model == "" {
		c.Model = DefaultAPIModel
	}
	if c.Timeout == 0 {
		c.Timeout = defaultAPITimeout
	}
	if c.MaxRetries == 0 {
		c.MaxRetries = defaultAPIRetries
	}
	if c.MaxConcurrency == 0 {
		c.MaxConcurrency = defaultAPIConcurrency
	}
	return c
}

// shared are the fields that the configs have in common. The preset is the one for the model's name at its provider.
func (c QwenTextAPIConfig) shared() QwenTextPyTorchConfig {
	_, model, _ := providerOf(c.Model, c.APIBase)
	return QwenTextPyTorchConfig{
		Model: model, Preset: c.Preset, CustomPreset: c.CustomPreset, MaxNewTokens: c.MaxTokens,
		Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK, Seed: c.Seed, MinPixels: c.MinPixels, MaxPixels: c.MaxPixels,
		SystemPrompt: c.SystemPrompt, ReadBlankPages: c.ReadBlankPages, BatchSize: c.MaxConcurrency, Logger: c.Logger,
	}
}

func (c QwenTextAPIConfig) check() (settings, error) {
	c = c.withDefaults()
	s, shared := c.shared().settings()
	s.config = "QwenTextAPIConfig"
	tokens := shared.MaxNewTokens
	shared.MaxNewTokens = min(tokens, maxNewTokens) // the bound here is another
	f := shared.faults("MaxTokens", "MaxConcurrency")
	f.check(tokens <= maxAPITokens, "MaxTokens", tokens, fmt.Sprintf("is outside %d to %d", minConfigNewTokens, maxAPITokens))
	f.check(c.Timeout >= minAPITimeout, "Timeout", c.Timeout, fmt.Sprintf("is less than %d seconds", minAPITimeout))
	f.check(c.MaxRetries >= -1 && c.MaxRetries <= maxAPIRetries, "MaxRetries", c.MaxRetries, fmt.Sprintf("is outside -1 to %d", maxAPIRetries))
	p, _, err := providerOf(c.Model, c.APIBase)
	if err != nil {
		f.check(false, "Model", c.Model, err.Error())
		return s, f.err(s.config)
	}
	f.check(c.base(p) != "", "APIBase", c.APIBase, fmt.Sprintf("is empty, and so is %s", p.BaseVariable))
	f.check(p.Name == azure || c.APIVersion == "", "APIVersion", c.APIVersion, "is Azure's alone; the model is "+c.Model)
	f.check(p.Name != azure || c.version() != "", "APIVersion", c.APIVersion, "is empty, and so is "+azureVersionVariable)
	return s, f.err(s.config)
}

func (c QwenTextAPIConfig) base(p APIProvider) string {
	for _, base := range []string{c.APIBase, environment(p.BaseVariable), p.Base} {
		if base != "" {
			return base
		}
	}
	return ""
}

func (c QwenTextAPIConfig) version() string {
	if c.APIVersion != "" {
		return c.APIVersion
	}
	return environment(azureVersionVariable)
}

func environment(name string) string {
	if name == "" {
		return ""
	}
	return os.Getenv(name)
}

func (c QwenTextAPIConfig) load(context.Context) (engine, error) {
	c = c.withDefaults()
	p, model, err := providerOf(c.Model, c.APIBase)
	if err != nil {
		return nil, err
	}
	o := remote.Options{
		Base: c.base(p), Model: model, Key: c.APIKey, Headers: http.Header{}, HTTP: c.HTTPClient,
		Timeout: time.Duration(c.Timeout) * time.Second, Attempts: 1 + max(0, c.MaxRetries), Concurrency: c.MaxConcurrency,
	}
	if o.Key == "" {
		o.Key = environment(p.KeyVariable)
	}
	if p.Name == azure {
		o.AzureVersion = c.version()
	}
	for name, value := range c.ExtraHeaders {
		o.Headers.Set(name, value)
	}
	e, err := remote.New(o)
	if err != nil {
		return nil, err // not a nil *remote.Engine in an engine
	}
	return e, nil
}
