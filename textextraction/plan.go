package textextraction

import (
	"context"
	"fmt"

	"github.com/omnidocs/omnidocs/backend"
)

// Plan says what a model and its pages take of a device's memory, and whether that fits. Its String is a table.
type Plan = backend.Plan

// OutOfMemoryError is the error of a model or a page that memory has no room for.
type OutOfMemoryError = backend.OutOfMemoryError

// PlanPage is a page that a plan is made for. The zero value is the largest that the config allows, of which there are many.
type PlanPage struct {
	// Width and Height are the picture's size, in pixels.
	Width, Height int
	// Pages is how many pages of this size are to be read.
	Pages int
}

// localConfig is a config of models that run in this process.
type localConfig interface {
	Config
	planOptions() backend.LoadOptions
}

// planned is an engine that was loaded by a plan.
type planned interface{ Plan() *backend.Plan }

// MakePlan tells what loading the model of a config takes, and reading pages like the given one: visual tokens, prompt tokens, the
// bytes of weights, cache and page, how many pages can be read at a time, whether it fits, and what to change if not. It does so
// before anything of it is taken: only the configuration and the headers of the weights are read, once the model is on the disk.
// With a MemoryLimit in the config it is for a device that need not be here.
func MakePlan(ctx context.Context, cfg Config, page PlanPage) (*Plan, error) {
	local, ok := cfg.(localConfig)
	if !ok {
		return nil, fmt.Errorf("%w: a %T runs no model in this process, so there is nothing to plan", ErrConfig, cfg)
	}
	if _, err := cfg.check(); err != nil {
		return nil, err
	}
	o := local.planOptions()
	o.Page.Width, o.Page.Height, o.Page.Pages = page.Width, page.Height, page.Pages
	plan, err := backend.MakePlan(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("textextraction: %w", err)
	}
	return plan, nil
}

func (c QwenTextPyTorchConfig) planOptions() backend.LoadOptions {
	_, filled := c.settings()
	return filled.loadOptions()
}

func (c QwenTextVLLMConfig) planOptions() backend.LoadOptions { return c.loadOptions() }

// Plan is what the extractor's model was loaded with; nil where it is not in this process.
func (x *QwenTextExtractor) Plan() *Plan {
	if p, ok := x.engine.(planned); ok {
		return p.Plan()
	}
	return nil
}
