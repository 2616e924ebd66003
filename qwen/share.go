package qwen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gomlx/compute/shapes"
)

// This file divides a model among devices (tensor parallelism, after Shoeybi and others: "Megatron-LM", 2019). A device has an equal
// share of the heads and of the inner widths: the rows of the matrices that lead there and the columns of those that lead back,
// so that between the two nothing is exchanged, and behind the second the devices add up what they have. The hidden states are the
// same on all devices; the keys, values and recurrent states are those of a device's own heads. Of the vocabulary and the table of
// positions each device has a run of the rows; the last one's may be shorter, and is filled up with zeros.

// dividend is a number of the configuration that the devices must divide.
type dividend struct {
	key   string
	value int
}

// divided are the sizes that must be divided.
func (s Spec) divided() []dividend {
	t, v := s.Text, s.Vision
	var all []dividend
	var attention, linear, dense, sparse bool
	for i := range t.Layers {
		kind := t.kindAt(i)
		attention, linear = attention || !kind.linear, linear || kind.linear
		dense, sparse = dense || !kind.sparse, sparse || kind.sparse
	}
	if attention {
		all = append(all, dividend{"text_config.num_attention_heads", t.Heads}, dividend{"text_config.num_key_value_heads", t.KVHeads})
	}
	if linear {
		all = append(all, dividend{"text_config.linear_num_key_heads", t.Delta.KeyHeads}, dividend{"text_config.linear_num_value_heads", t.Delta.ValueHeads})
	}
	if dense {
		all = append(all, dividend{"text_config.intermediate_size", t.Intermediate})
	}
	if sparse {
		all = append(all, dividend{"text_config.moe_intermediate_size", t.MoE.Intermediate})
		if t.MoE.Shared > 0 {
			all = append(all, dividend{"text_config.shared_expert_intermediate_size", t.MoE.Shared})
		}
	}
	return append(all, dividend{"vision_config.num_heads", v.Heads}, dividend{"the inner width of vision_config", v.Intermediate},
		dividend{"the numbers of a patch of vision_config", v.PatchDim()}, dividend{"the width of vision_config's merger", v.MergedDim()})
}

// share is what one of n devices computes of a model: the same layers, with a share of the heads and inner widths. It is an error,
// which says what sizes would do, if n does not divide one of them.
func (s Spec) share(n int) (Spec, error) {
	if n <= 1 {
		return s, nil
	}
	var faults []string
	common := 0
	for _, d := range s.divided() {
		common = gcd(common, d.value)
		switch {
		case d.value < n:
			faults = append(faults, fmt.Sprintf("%s is %d, less than one a device", d.key, d.value))
		case d.value%n != 0:
			faults = append(faults, fmt.Sprintf("%s is %d, which %d does not divide", d.key, d.value, n))
		}
	}
	if len(faults) > 0 {
		return Spec{}, fmt.Errorf("a model of this shape cannot be divided among %d devices: %s: %w (sizes that would do: %s)",
			n, strings.Join(faults, "; "), ErrUnsupported, divisors(common))
	}
	t, v := &s.Text, &s.Vision
	t.VocabSize = portion(t.VocabSize, n)
	for _, value := range []*int{
		&t.Heads, &t.KVHeads, &t.Intermediate, &t.Delta.KeyHeads, &t.Delta.ValueHeads, &t.MoE.Intermediate, &t.MoE.Shared,
		&v.Heads, &v.Intermediate,
	} {
		*value /= n
	}
	v.devices = n
	return s, nil
}

// portion is the n-th part of a size, rounded up.
func portion(size, n int) int { return (size + n - 1) / n }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// divisors lists what divides n.
func divisors(n int) string {
	var all []string
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			all = append(all, strconv.Itoa(d))
		}
	}
	return strings.Join(all, ", ")
}

// reading is what is read of the checkpoint at one go, and where it goes: into the buffers of one or more devices.
type reading struct {
	parts []part
	into  []window
}

// window is a run of columns that goes into the buffer of that number.
type window struct{ buffer, left, right int }

// readings say how the buffers of a parameter are filled, for n devices: buffers of their own, or one for all where the parameter is
// not divided. All of the checkpoint is read once.
func (p param) readings(n int, parts []part) (list []reading, buffers int) {
	width := p.dims()[len(p.dims())-1]
	if p.kind == vector {
		width = 1
	}
	switch {
	case n <= 1 || p.cut == undivided:
		return []reading{{parts, []window{{0, 0, width}}}}, 1
	case p.cut == byColumns:
		r := reading{parts: parts}
		for i := range n {
			r.into = append(r.into, window{i, i * width / n, (i + 1) * width / n})
		}
		return []reading{r}, n
	}
	for i := range n {
		r := reading{into: []window{{i, 0, width}}}
		for _, whole := range parts {
			from := whole.from
			for _, rows := range whole.source.kinds() {
				size := portion(rows, n)
				if run := (part{whole.source, from + min(rows, i*size), from + min(rows, (i+1)*size)}); run.from < run.to {
					r.parts = append(r.parts, run)
				}
				from += rows
			}
		}
		list = append(list, r)
	}
	return list, n
}

// share is the shape of a buffer on one of n devices, where whole is that of all.
func (p param) share(whole shapes.Shape, n int) shapes.Shape {
	switch p.cut {
	case byRows:
		whole.Dimensions[0] = portion(whole.Dimensions[0], n)
	case byColumns:
		whole.Dimensions[1] /= n
	}
	return whole
}

// ragged says whether the shares of n devices are not all of one size.
func (p param) ragged(n int) bool { return p.cut == byRows && p.dims()[0]%n != 0 }

// kinds counts the rows of each kind.
func (s source) kinds() []int {
	if s.runs == nil {
		return []int{s.shape[0]}
	}
	return s.runs
}

// WeightBytes is the memory that the weights take on each device of the model, in the order of [Runtime.Devices].
func (m *Model) WeightBytes() []int64 {
	held := make([]int64, m.mesh.Size())
	for _, buffers := range m.weights {
		for _, b := range buffers {
			shape, err := b.Shape() // on all devices the same
			for i := range held {
				if err == nil {
					held[i] += shape.ByteSize()
				}
			}
		}
	}
	return held
}
