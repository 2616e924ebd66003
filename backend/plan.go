package backend

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"github.com/gomlx/compute/dtypes"

	"github.com/omnidocs/omnidocs/qwen"
)

// PlannedAnswer is how many tokens of answer a page is planned with, a dense page's worth. Longer answers are no fault: the cache
// grows, and where memory has no room for that the page that came last waits.
const PlannedAnswer = 1024

// The most slots that are planned where nobody says how many: more gain nothing on a CPU, and little on a GPU.
const (
	mostSlotsCPU = 8
	mostSlotsGPU = 256
)

// overhead is what a process takes on a device beside weights, caches and pages: on CPUs the program itself, Go's heap and XLA's
// compiler; on GPUs the driver's part is not in the memory that the plugin reports.
func overhead(kind Kind) int64 {
	if kind == KindXLACUDA {
		return 0
	}
	return 192 << 20
}

// PlanPage is a page that a plan is made for. The zero value is the largest page that the checkpoint's budget for documents allows.
type PlanPage struct {
	// Width and Height are the picture's, in pixels. Zero means one as large as MaxPixels allows.
	Width, Height int
	// MinPixels, MaxPixels and CheckpointBounds are those of [Request].
	MinPixels, MaxPixels int
	CheckpointBounds     bool
	// System and Prompt are the texts around it. An empty Prompt means "qwenvl markdown".
	System, Prompt string
	// Pages is how many pages of this size are to be read, so that no more slots are planned than there are pages. Zero means many.
	Pages int
}

// Plan says what a model and its pages take of a device's memory, in bytes, and whether that fits. In JSON the names are in snake
// case. Weights and caches are exact, what a page needs on its way is an estimate ([qwen.PagePlan]).
type Plan struct {
	// Model, Device and DType say what is planned; Devices is how many processors the model is divided among. All bytes are those of
	// one of them.
	Model   string `json:"model"`
	Device  string `json:"device"`
	DType   string `json:"dtype"`
	Devices int    `json:"devices"`
	// Limit is the memory that may be taken, and LimitFrom where that number is from. 0 is no limit: nothing is known of the memory.
	Limit     int64  `json:"limit_bytes"`
	LimitFrom string `json:"limit_from"`
	// Weights is what loading takes.
	Weights qwen.WeightsPlan `json:"weights"`
	// Page is the page.
	Page qwen.PagePlan `json:"page"`
	// MaxModelLen is how many tokens, prompt and answer, one page can have: what was asked for, or what the memory holds.
	MaxModelLen int `json:"max_model_len"`
	// Slots is how many pages are written together at most, Cache what the cache takes when all of them have a page of this size with
	// PlannedAnswer tokens of answer, Longest when there is a single one with MaxModelLen tokens.
	Slots   int            `json:"slots"`
	Cache   qwen.CachePlan `json:"cache"`
	Longest qwen.CachePlan `json:"longest"`
	// VisionCache is for the visual tokens of earlier pages, PrefixCache for what their prompts have left, Overhead for the process.
	VisionCache int64 `json:"vision_cache_bytes"`
	PrefixCache int64 `json:"prefix_cache_bytes"`
	Overhead    int64 `json:"overhead_bytes"`
	// Total is all of it: the weights, the larger of the two caches, a page on its way beside it, and the rest.
	Total int64 `json:"total_bytes"`
	// Fits says whether Total is within Limit.
	Fits bool `json:"fits"`
	// Advice says what to change where it does not fit, with numbers, the least change first, or what was made smaller so that it does.
	Advice []string `json:"advice,omitempty"`

	asked LoadOptions
	room  int64 // for caches and pages; 0 is no limit
}

// MakePlan tells what loading a model with these options takes, and pages like o.Page, before anything of it is taken: it reads the
// configuration and the headers of the weights, and asks the device for its memory. With a MemoryLimit no device is opened, so that
// a plan can be made for one that is elsewhere ("cuda" with a MemoryLimit of 24 GB). A model on the hub is downloaded.
//
// A plan that does not fit is no error: see [Plan.Fits].
func MakePlan(ctx context.Context, o LoadOptions) (plan *Plan, err error) {
	if o.Model == "" {
		return nil, errors.New("backend: plan: no model is named")
	}
	if err := o.checkMemory(); err != nil {
		return nil, fmt.Errorf("backend: plan: %w", err)
	}
	fsys, _, err := findModel(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("backend: plan %s: %w", o.Model, err)
	}
	spec, err := qwen.ReadSpec(fsys)
	if err != nil {
		return nil, fmt.Errorf("backend: plan %s: %w", o.Model, err)
	}
	var device *Device
	if o.MemoryLimit > 0 {
		target, err := parseDevice(o.Device)
		if err != nil {
			return nil, fmt.Errorf("backend: device %q: %w", o.Device, err)
		}
		device = &Device{kind: target.kinds[0]}
	} else {
		if device, err = OpenWith(ctx, o.Device, OpenOptions{Logger: o.Logger, CompileCache: o.CompileCache}); err != nil {
			return nil, err
		}
		defer func() { _ = device.Close() }() // it was only asked
	}
	dtype, err := weightType(o.DType, o.Quantization, spec.DType, device)
	if err != nil {
		return nil, fmt.Errorf("backend: plan %s: %w", o.Model, err)
	}
	places, err := o.places()
	if err != nil {
		return nil, fmt.Errorf("backend: plan %s: %w", o.Model, err)
	}
	rt := device.Runtime()
	rt.Devices = places[0]
	planner, err := qwen.NewPlanner(fsys, rt, dtype)
	if err != nil {
		return nil, fmt.Errorf("backend: plan %s: %w", o.Model, err)
	}
	plan, err = newPlan(ctx, o, device, planner, dtypeName(dtype))
	if err != nil {
		return nil, fmt.Errorf("backend: plan %s: %w", o.Model, err)
	}
	return plan, nil
}

// newPlan makes a plan for a device whose memory is as it is before anything is loaded.
func newPlan(ctx context.Context, o LoadOptions, device *Device, planner *qwen.Planner, dtype string) (*Plan, error) {
	p := &Plan{
		Model: o.Model, Device: device.Name(), DType: dtype, Devices: planner.Devices(), Weights: planner.Weights(), VisionCache: o.visionCache(),
		Overhead: overhead(device.kind), asked: o,
	}
	p.Limit, p.LimitFrom = memoryLimit(ctx, o, device)
	places, err := o.places()
	if err != nil {
		return nil, err
	}
	if n := len(places) * len(places[0]); n > 1 && device.IsCPU() && o.MemoryLimit <= 0 { // they share one memory
		p.Limit, p.LimitFrom = p.Limit/int64(n), fmt.Sprintf("%s, divided by %d", p.LimitFrom, n)
	}
	if p.Page, err = o.Page.plan(planner); err != nil {
		return nil, err
	}
	most := mostSlotsGPU
	if device.IsCPU() {
		most = mostSlotsCPU
	}
	if o.MaxBatch >= 0 {
		most = max(1, o.MaxBatch)
	}
	if o.Page.Pages > 0 {
		most = min(most, o.Page.Pages)
	}
	p.PrefixCache = max(0, o.PrefixCache)
	if o.PrefixCache == 0 && planner.SharesPrompts() {
		p.PrefixCache = planner.Prefix(p.Page)
	}
	p.size(planner, most)
	if o.PrefixCache == 0 && (!p.Fits || o.MaxBatch > 0 && p.Slots < most) { // nobody asked for it
		p.PrefixCache, p.Advice = 0, nil
		p.size(planner, most)
	}
	p.advise(planner)
	return p, nil
}

// page makes the plan of the page.
func (page PlanPage) plan(planner *qwen.Planner) (qwen.PagePlan, error) {
	r := Request{MinPixels: page.MinPixels, MaxPixels: page.MaxPixels, CheckpointBounds: page.CheckpointBounds}
	bounds := r.bounds(planner.Processor())
	if page.Width == 0 || page.Height == 0 {
		// As large as it may be, in the proportions of A4.
		page.Width, page.Height = sideways(bounds.MaxPixels)
	}
	return planner.Page(page.Width, page.Height, bounds, qwen.Prompt{System: page.System, Text: page.prompt()})
}

// prompt is Prompt or what an empty one means.
func (page PlanPage) prompt() string {
	if page.Prompt == "" {
		return "qwenvl markdown"
	}
	return page.Prompt
}

// sideways are the sides of an upright A4 page of about so many pixels, at least one.
func sideways(pixels int) (width, height int) {
	for width*(width*297/210) < pixels {
		width = max(width+1, width*101/100)
	}
	return max(1, width), max(1, width*297/210)
}

// size finds the length of pages and the number of slots that the memory has room for.
func (p *Plan) size(planner *qwen.Planner, most int) {
	positions := planner.Spec().Text.MaxPositions
	p.MaxModelLen = positions
	if p.asked.MaxModelLen > 0 {
		p.MaxModelLen = min(positions, p.asked.MaxModelLen)
	}
	planned := min(p.MaxModelLen, p.Page.PromptTokens+PlannedAnswer)
	base := p.Weights.Bytes + p.VisionCache + p.PrefixCache + p.Overhead
	if p.Limit > 0 {
		p.room = max(1, p.Limit-base)
		beside := p.room - p.Page.Peak()
		if p.asked.MaxModelLen == 0 || p.asked.ShorterModelLen { // what is left for one page
			p.MaxModelLen = max(planned, planner.Tokens(1, p.MaxModelLen, beside))
		}
		for p.Slots = most; p.Slots > 1 && planner.Cache(p.Slots, planned).Most() > beside; {
			p.Slots--
		}
	} else {
		p.Slots = most
	}
	p.Cache, p.Longest = planner.Cache(p.Slots, planned), planner.Cache(1, p.MaxModelLen)
	cache := p.Cache.Most()
	if p.Limit > 0 { // without a limit nobody asked for the longest page that the model allows
		cache = max(cache, p.Longest.Most())
	}
	p.Total = base + p.Page.Peak() + cache
	p.Fits = p.Limit == 0 || p.Total <= p.Limit
	if p.Slots < most && p.asked.MaxBatch > 0 {
		p.Advice = append(p.Advice, fmt.Sprintf("memory has room for %d pages of this size at a time, not for %d", p.Slots, p.asked.MaxBatch))
	}
}

// memoryLimit is what may be taken of a device's memory, 0 where that is not known, and who says so.
func memoryLimit(ctx context.Context, o LoadOptions, device *Device) (int64, string) {
	switch {
	case o.MemoryLimit > 0:
		return o.MemoryLimit, "MemoryLimit"
	case o.MemoryLimit < 0:
		return 0, "MemoryLimit is negative: none"
	}
	m, err := device.Memory(ctx)
	if err != nil {
		return 0, "the device does not tell its memory: " + err.Error()
	}
	share := o.MemoryUtilization
	if share == 0 {
		share = 1
	}
	text := strconv.FormatFloat(share, 'g', -1, 64) + " of "
	switch {
	case device.IsCPU() && m.Available > 0:
		return int64(share * float64(m.Available)), text + size(m.Available) + " that this process could still take (" + string(m.Source) + ")"
	case device.IsCPU():
		return 0, "the system (" + runtime.GOOS + ") does not tell how much memory is free"
	case m.Source == MemoryPJRT && m.Total > 0:
		// The allocator was given its share when the device was opened, if one was asked for.
		return m.Available, size(m.Available) + " that the plugin's allocator could still take (" + string(m.Source) + ")"
	case o.MemoryUtilization > 0: // and reserved
		return int64(share * float64(m.Total)), text + size(m.Total) + " (" + string(m.Source) + ")"
	default:
		return m.Available, size(m.Available) + " that is free (" + string(m.Source) + ")"
	}
}

// BatchThatFits is a MaxBatch of as many pages as memory has room for: at most 8 on CPUs and 256 on GPUs, where more gain little. A page
// is reckoned with PlannedAnswer tokens of answer.
const BatchThatFits = -1

// checkMemory returns what is wrong with the fields that this file is about.
func (o LoadOptions) checkMemory() error {
	switch u := o.MemoryUtilization; {
	case o.MaxBatch < BatchThatFits || o.MaxModelLen < 0:
		return fmt.Errorf("MaxBatch is %d and MaxModelLen is %d, want 0 or more", o.MaxBatch, o.MaxModelLen)
	case u != 0 && !(u >= 0.1 && u <= 1):
		return fmt.Errorf("MemoryUtilization is %v, want 0.1 to 1, or 0 for all", u)
	case u != 0 && o.MemoryLimit != 0:
		return fmt.Errorf("MemoryUtilization is %v and MemoryLimit is %d: give one of them", u, o.MemoryLimit)
	}
	return nil
}

// visionCache is VisionCache, or what zero stands for.
func (o LoadOptions) visionCache() int64 {
	if o.VisionCache == 0 {
		return defaultVisionCache
	}
	return max(0, o.VisionCache)
}

// fitting makes the plan of an engine that is about to be loaded. It is an error if it does not fit.
func fitting(ctx context.Context, o LoadOptions, device *Device, planner *qwen.Planner, dtype dtypes.DType) (*Plan, error) {
	plan, err := newPlan(ctx, o, device, planner, dtypeName(dtype))
	if err != nil {
		return nil, err
	}
	if !plan.Fits {
		return nil, &OutOfMemoryError{Plan: plan}
	}
	return plan, nil
}
