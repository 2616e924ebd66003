package textextraction

import (
	"fmt"
	"slices"
	"strings"
)

// APIProvider is somebody who serves models by OpenAI's protocol.
type APIProvider struct {
	// Name is what a model's name begins with, before a slash.
	Name string
	// Base is its address. Empty means that each user has one of their own.
	Base string
	// BaseVariable and KeyVariable are the environment variables that have the address and the key, as litellm calls them.
	BaseVariable, KeyVariable string
}

// azure is the provider whose addresses, headers and names differ.
const (
	azure                = "azure"
	azureVersionVariable = "AZURE_API_VERSION"
)

// apiProviders is the table of them.
var apiProviders = []APIProvider{
	{"openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_BASE", "OPENROUTER_API_KEY"},
	{"openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"},
	{azure, "", "AZURE_API_BASE", "AZURE_API_KEY"},
	{"hosted_vllm", "", "HOSTED_VLLM_API_BASE", "HOSTED_VLLM_API_KEY"},
	{"deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_BASE", "DEEPINFRA_API_KEY"},
	{"together_ai", "https://api.together.xyz/v1", "TOGETHER_AI_API_BASE", "TOGETHERAI_API_KEY"},
	{"fireworks_ai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_BASE", "FIREWORKS_API_KEY"},
}

// APIProviders lists the providers that a [QwenTextAPIConfig] knows. With APIBase it needs none of them.
func APIProviders() []APIProvider { return slices.Clone(apiProviders) }

// providerOf divides a model's name into its provider and the name there. With a base of one's own, a name that begins with no
// provider's is the model's whole name, and no key of the environment's is sent there: it is some other server's.
func providerOf(name, base string) (p APIProvider, model string, err error) {
	prefix, rest, ok := strings.Cut(name, "/")
	for _, p := range apiProviders {
		if ok && p.Name == prefix && rest != "" {
			return p, rest, nil
		}
	}
	if base != "" {
		return APIProvider{}, name, nil
	}
	var names []string
	for _, p := range apiProviders {
		names = append(names, p.Name+"/")
	}
	return p, name, fmt.Errorf("begins with no provider that is known (%s); give the server's address in APIBase", strings.Join(names, ", "))
}
