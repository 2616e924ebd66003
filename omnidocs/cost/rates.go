package cost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rates are the prices of machines, in US dollars.
type Rates struct {
	// Provider says whose they are, AsOf of which day ("2026-07-01"), Source where they were seen.
	Provider string `json:"provider,omitzero"`
	AsOf     string `json:"as_of,omitzero"`
	Source   string `json:"source,omitzero"`
	// GPU has the price of one GPU for an hour, by its name ("A10").
	GPU map[string]GPURate `json:"gpu"`
	// Aliases are other names of GPUs ("A10G" for "A10").
	Aliases map[string]string `json:"aliases,omitempty"`
	// CPUCore is the price of one physical core for an hour, MemoryGiB that of one GiB of memory. Zero is where they come with the
	// GPU.
	CPUCore   float64 `json:"cpu_core_hour,omitzero"`
	MemoryGiB float64 `json:"memory_gib_hour,omitzero"`
}

// GPURate is the price of one GPU for an hour, in US dollars.
type GPURate struct {
	OnDemand float64 `json:"on_demand"`
	// Spot is the price where the machine may be taken away at any time. Zero is where that is not offered.
	Spot float64 `json:"spot,omitzero"`
}

// Modal are the prices of modal.com as third parties reported them in the middle of 2026: an orientation, not an offer. `modal
// billing rates` prints those of today. Modal takes no lower price for spot: each of its functions may be preempted as it is.
func Modal() Rates {
	return Rates{
		Provider: "Modal", AsOf: "2026-07-01", Source: "third-party reports of modal.com/pricing",
		GPU: map[string]GPURate{
			"T4": {OnDemand: 0.59}, "L4": {OnDemand: 0.80}, "A10": {OnDemand: 1.10}, "L40S": {OnDemand: 1.95},
			"A100-40GB": {OnDemand: 2.10}, "A100-80GB": {OnDemand: 2.50}, "H100": {OnDemand: 3.95}, "H200": {OnDemand: 4.54}, "B200": {OnDemand: 6.25},
		},
		Aliases: map[string]string{"A10G": "A10", "A100": "A100-40GB"},
		CPUCore: 0.0472, MemoryGiB: 0.0080,
	}
}

// Read reads rates from JSON. Unknown names are errors.
func Read(r io.Reader) (Rates, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Rates{}, fmt.Errorf("cost: rates: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var rates Rates
	if err := d.Decode(&rates); err != nil {
		return Rates{}, fmt.Errorf("cost: rates: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Rates{}, errors.New("cost: rates: there is more behind the JSON object")
	}
	return rates, rates.check()
}

func (r Rates) check() error {
	var errs []error
	price := func(name string, v float64) {
		if !(v >= 0) || math.IsInf(v, 0) {
			errs = append(errs, fmt.Errorf("cost: rates: %s is %g, want 0 or more dollars an hour", name, v))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.GPU)) {
		price(name, r.GPU[name].OnDemand)
		price(name+" on spot", r.GPU[name].Spot)
	}
	price("a core", r.CPUCore)
	price("a GiB of memory", r.MemoryGiB)
	return errors.Join(errs...)
}

// gpu finds the price of one GPU for an hour.
func (r Rates) gpu(name string, spot bool) (float64, error) {
	if as, ok := r.Aliases[name]; ok {
		name = as
	}
	rate, ok := r.GPU[name]
	switch {
	case !ok:
		return 0, fmt.Errorf("cost: no price for the GPU %q (there are %s): add it to Rates.GPU", name, strings.Join(slices.Sorted(maps.Keys(r.GPU)), ", "))
	case spot && rate.Spot == 0:
		return 0, fmt.Errorf("cost: no spot price for the GPU %q: leave Spot unset, or add GPURate.Spot", name)
	case spot:
		return rate.Spot, nil
	}
	return rate.OnDemand, nil
}

// ParseGPU reads the name and number of GPUs of a container as Modal writes them: "A10G:2" is two, "A10G" one.
func ParseGPU(s string) (name string, count int, err error) {
	name, number, many := strings.Cut(s, ":")
	count = 1
	if many {
		count, err = strconv.Atoi(number)
	}
	if name == "" || err != nil || count < 1 {
		return "", 0, fmt.Errorf("cost: GPU %q: want a name and a number from 1, as in \"A10G:2\"", s)
	}
	return name, count, nil
}
