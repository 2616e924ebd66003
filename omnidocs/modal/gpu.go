package modal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// GPU is a kind of GPU and how many of them a container has.
type GPU struct {
	// Type is Modal's name, "A10" for example. Empty means that there is none.
	Type string
	// Count is how many.
	Count int
}

// NoGPU is the string for containers without one.
const NoGPU = "none"

// gpuTypes is the table of what Modal rents out (2026-11), with how many fit into one container.
var gpuTypes = []struct {
	name string
	most int
}{
	{"T4", 8}, {"L4", 8}, {"A10", 4}, {"L40S", 8}, {"A100", 8}, {"A100-40GB", 8}, {"A100-80GB", 8}, {"RTX-PRO-6000", 8},
	{"H100", 8}, {"H100!", 8}, {"H200", 8}, {"B200", 8}, {"B200+", 8},
}

// gpuOldNames are names that guides still use.
var gpuOldNames = map[string]string{"A10G": "A10"}

// GPUTypes are the names that [ParseGPU] knows.
func GPUTypes() []string {
	var names []string
	for _, t := range gpuTypes {
		names = append(names, t.name)
	}
	return names
}

// ParseGPU reads a string such as "A10G", "A10G:1" or "H100:2", in letters of either case; "none" is no GPU. A10G, the name of
// OmniDocs' guide, is what Modal calls A10 today. A name or a number that Modal does not have is an error that says what it has.
func ParseGPU(s string) (GPU, error) {
	if strings.EqualFold(s, NoGPU) {
		return GPU{}, nil
	}
	name, number, counted := strings.Cut(strings.ToUpper(strings.TrimSpace(s)), ":")
	count := 1
	if counted {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return GPU{}, fmt.Errorf("%w: the GPU %q: %q is no number of GPUs; want TYPE:NUMBER, A10G:1 for example", ErrConfig, s, number)
		}
		count = n
	}
	if now, ok := gpuOldNames[name]; ok {
		name = now
	}
	for _, t := range gpuTypes {
		switch {
		case t.name != name:
		case count > t.most:
			return GPU{}, fmt.Errorf("%w: the GPU %q: a container has at most %d of %s", ErrConfig, s, t.most, name)
		default:
			return GPU{Type: name, Count: count}, nil
		}
	}
	known := append(GPUTypes(), NoGPU)
	slices.Sort(known)
	return GPU{}, fmt.Errorf("%w: the GPU %q: Modal has no %s, as far as this version knows; it has %s", ErrConfig, s, name, strings.Join(known, ", "))
}

// String is the GPU as Modal's clients take it: "A10:1", or "" for none.
func (g GPU) String() string {
	if g.Type == "" {
		return ""
	}
	return g.Type + ":" + strconv.Itoa(g.Count)
}
