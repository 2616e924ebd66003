package textextraction

import (
	"context"
	"fmt"
	"strings"

	"github.com/omnidocs/omnidocs/backend"
)

// Preset returns the preset that the extractor reads pages with: the config's, or the one that its model was found to want.
func (x *QwenTextExtractor) Preset() Preset {
	if x.settings.preset == nil {
		return mustPreset(basePreset)
	}
	return x.settings.preset.clone()
}

// fill returns a config with the preset's values where it has none of its own. Pixels are not among them, see request.
func (p *Preset) fill(c QwenTextPyTorchConfig) QwenTextPyTorchConfig {
	if p == nil {
		return c
	}
	if c.SystemPrompt == "" {
		c.SystemPrompt = p.SystemPrompt
	}
	if c.MaxNewTokens == 0 {
		c.MaxNewTokens = p.MaxNewTokens
	}
	if c.Temperature == 0 && c.TopP == 0 && c.TopK == 0 { // a seed alone does not say how to draw
		c.Temperature, c.TopP, c.TopK = p.Temperature, p.TopP, p.TopK
	}
	return c
}

// prompt returns the text of the user's turn for a format.
func (p *Preset) prompt(f Format) (string, error) {
	if p == nil {
		return f.Prompt(), nil
	}
	if prompt := p.Prompts.Of(f); prompt != "" {
		return prompt, nil
	}
	return "", fmt.Errorf("%w: preset %q has no prompt for %q. Expected '%s', or a prompt of your own in Options.Prompt",
		ErrFormat, p.Name, f, strings.Join(p.writes(), "' or '"))
}

// request adds what the preset alone says to a request. pixels tells that the config or the call bounds the pixels itself.
func (p *Preset) request(ctx context.Context, r *backend.Request, pixels bool) (err error) {
	if p == nil {
		return nil
	}
	r.TextFirst, r.KeepSpecialTokens = p.TextFirst, p.KeepSpecialTokens
	r.Stops = p.Stops
	if pixels {
		return nil
	}
	r.MinPixels, r.MaxPixels, r.CheckpointBounds = p.MinPixels, p.MaxPixels, p.CheckpointBounds
	r.Image, err = p.PageSize.scale(ctx, r.Image)
	return err
}
