package qwen

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// WeightsError lists everything in which a checkpoint's tensors differ from what its configuration asks for.
type WeightsError struct {
	// Missing are the keys that the model needs and the checkpoint lacks; Unexpected those that it has beside them.
	Missing, Unexpected []string
	// Shape has a line for each tensor of another shape, and Type one for each whose numbers cannot be read.
	Shape, Type []string
}

// Error lists all keys, sorted.
func (e *WeightsError) Error() string {
	var b strings.Builder
	b.WriteString("the weights do not fit the configuration:")
	for _, part := range e.kinds() {
		if len(part.lines) > 0 {
			fmt.Fprintf(&b, " %d %s (%s);", len(part.lines), part.what, strings.Join(part.lines, ", "))
		}
	}
	return strings.TrimSuffix(b.String(), ";")
}

// weightFaults are the lines about one kind of fault.
type weightFaults struct {
	what  string
	lines []string
}

func (e *WeightsError) kinds() []weightFaults {
	return []weightFaults{
		{"missing", e.Missing}, {"unexpected", e.Unexpected}, {"of another shape", e.Shape}, {"of a type that is not read", e.Type},
	}
}

// weights are the parameters on the device, by group and in the order of their declaration.
type weights map[string][]compute.Buffer

func (w weights) finalize() error {
	var errs []error
	for _, buffers := range w {
		for _, b := range buffers {
			errs = append(errs, b.Finalize())
		}
	}
	return errors.Join(errs...)
}

// checkpointKey finds a key in the checkpoint under each spelling that is about: the class names its towers
// model.visual and model.language_model, older files visual and model.
func checkpointKey(c *checkpoint.Checkpoint, key string) (checkpoint.Tensor, bool) {
	spellings := []string{key}
	if rest, ok := strings.CutPrefix(key, "model.visual."); ok {
		spellings = append(spellings, "visual."+rest)
	}
	if rest, ok := strings.CutPrefix(key, "model.language_model."); ok {
		spellings = append(spellings, "model."+rest, "language_model.model."+rest)
	}
	if key == "lm_head.weight" {
		spellings = append(spellings, "language_model.lm_head.weight")
	}
	for _, s := range spellings {
		if t, ok := c.Lookup(s); ok {
			return t, true
		}
	}
	return checkpoint.Tensor{}, false
}

// tie sets Tied where the checkpoint has no output matrix of its own, as transformers does.
func tie(s Spec, c *checkpoint.Checkpoint) Spec {
	if _, ok := checkpointKey(c, "lm_head.weight"); !ok {
		s.Text.Tied = true
	}
	return s
}

// checkWeights compares the tensors of a checkpoint with the declared parameters, both ways.
func checkWeights(s Spec, c *checkpoint.Checkpoint) error {
	used := map[string]bool{}
	var e WeightsError
	for _, g := range s.groups() {
		for _, p := range g.params {
			for _, src := range p.sources {
				at, want, ok := locate(c, g.prefix, src)
				if !ok {
					e.Missing = append(e.Missing, g.prefix+src.key)
					continue
				}
				s.Quantization.checkStored(c, at.tensor, used, &e)
				if want != nil && !used[at.tensor.Name] {
					e.Shape = append(e.Shape, fmt.Sprintf("%s is %v, want %v", at.tensor.Name, at.tensor.Shape, want))
				}
				used[at.tensor.Name] = true
			}
		}
	}
	if s.Text.Tied { // a copy of the embedding, which transformers ignores too
		if t, ok := checkpointKey(c, "lm_head.weight"); ok {
			used[t.Name] = true
		}
	}
	for _, t := range c.Tensors() {
		// The frequencies are computed from the configuration; some writers store them all the same. Qwen3.5 has layers that
		// guess several tokens ahead (mtp), which transformers leaves out too.
		if !used[t.Name] && !strings.HasSuffix(t.Name, ".inv_freq") && !strings.HasPrefix(t.Name, "mtp.") && !s.Quantization.unused(t.Name) {
			e.Unexpected = append(e.Unexpected, t.Name)
		}
	}
	if len(e.Missing)+len(e.Unexpected)+len(e.Shape)+len(e.Type) == 0 {
		return nil
	}
	slices.Sort(e.Missing)
	slices.Sort(e.Shape)
	slices.Sort(e.Type)
	return &e
}
