package textextraction

import (
	"runtime/debug"
	"sync"

	"github.com/omnidocs/omnidocs/backend"
)

// Run is, together with the image and with ModelName, Revision, Device and DType of its [ExtractResult], what a page was read with:
// another run with the same gives the same text, alone or among others. Across devices, or versions of their drivers, the last digits
// of numbers differ, and with them now and then a token.
type Run struct {
	// Library is the version of this module, such as "v1.2.3", or "(devel)" with the commit where the program was built in its repository;
	// GoVersion is that of the compiler.
	Library   string `json:"library,omitzero"`
	GoVersion string `json:"go_version,omitzero"`
	// SpecHash stands for the model's configuration, see [qwen.Spec.Hash].
	SpecHash string `json:"spec_hash,omitzero"`
	// DeviceDescription says more of the device than its name: its plugin and version.
	DeviceDescription string `json:"device_description,omitzero"`
	// Preset is the name of the preset. Empty means the base models'.
	Preset string `json:"preset,omitzero"`
	// Prompt is the text of the user's turn, SystemPrompt that of the system's.
	Prompt       string `json:"prompt"`
	SystemPrompt string `json:"system_prompt,omitzero"`
	// MaxNewTokens, MaxContinuations, MinPixels, MaxPixels, Sampling with the page's seed, and Repetition are as they were in the end, with
	// the config's and the preset's values filled in. (Pixels of zero are as the preset or the engine have them.)
	MaxNewTokens     int        `json:"max_new_tokens"`
	MaxContinuations int        `json:"max_continuations,omitzero"`
	MinPixels        int        `json:"min_pixels,omitzero"`
	MaxPixels        int        `json:"max_pixels,omitzero"`
	Sampling         Sampling   `json:"sampling"`
	Repetition       Repetition `json:"repetition,omitzero"`
	// ReadBlankPages and DetectOrientation are those of the options.
	ReadBlankPages    bool `json:"read_blank_pages,omitzero"`
	DetectOrientation bool `json:"detect_orientation,omitzero"`
}

// run says what a page is read with.
func (s settings) run(info backend.Info, o Options) *Run {
	v := version()
	r := &Run{
		Library: v.library, GoVersion: v.toolchain, SpecHash: info.SpecHash, DeviceDescription: info.Description,
		Prompt: o.Prompt, SystemPrompt: o.SystemPrompt, MaxNewTokens: o.MaxNewTokens, MaxContinuations: o.MaxContinuations,
		MinPixels: o.MinPixels, MaxPixels: o.MaxPixels, Sampling: o.Sampling, Repetition: o.Repetition,
		ReadBlankPages: o.ReadBlankPages, DetectOrientation: o.DetectOrientation,
	}
	if s.preset != nil {
		r.Preset = s.preset.Name
	}
	return r
}

// Options returns the options that read a page in the same way as this run, into a format.
func (r Run) Options(format Format) Options {
	return Options{
		Format: format, Prompt: r.Prompt, SystemPrompt: r.SystemPrompt, MaxNewTokens: r.MaxNewTokens, MaxContinuations: r.MaxContinuations,
		MinPixels: r.MinPixels, MaxPixels: r.MaxPixels, Sampling: r.Sampling, Repetition: r.Repetition,
		ReadBlankPages: r.ReadBlankPages, DetectOrientation: r.DetectOrientation,
	}
}

type versions struct{ library, toolchain string }

const modulePath = "github.com/omnidocs/omnidocs"

// version reads what the program says of its build.
var version = sync.OnceValue(func() versions {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions{}
	}
	return versionOf(info)
})

func versionOf(info *debug.BuildInfo) versions {
	v := versions{toolchain: info.GoVersion}
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	for _, m := range modules {
		if m.Path != modulePath {
			continue
		}
		v.library = m.Version
		if m.Replace != nil {
			v.library = m.Replace.Version
		}
		if v.library == "" {
			v.library = "(devel)"
		}
		if m != &info.Main || v.library != "(devel)" {
			break
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				v.library += " " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				v.library += " and changes"
			}
		}
		break
	}
	return v
}
