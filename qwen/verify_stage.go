package qwen

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
)

// Tolerance says how far the values of a stage may be from the reference's. It holds where the largest of the reference's values is
// at most 32; where it is larger, by n, the tolerance is n times as large too, as the rounding of floating-point numbers is.
type Tolerance struct {
	// Max bounds each difference, but for a share of the values, from 0 (none) to 1; and Mean bounds the mean of all.
	Max   float64 `json:"max"`
	Share float64 `json:"share"`
	Mean  float64 `json:"mean"`
}

const toleranceScale = 32

// scaled is the tolerance for these values of the reference.
func (t Tolerance) scaled(want []float32) Tolerance {
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	if largest > toleranceScale && !math.IsInf(largest, 0) {
		t.Max *= largest / toleranceScale
		t.Mean *= largest / toleranceScale
	}
	return t
}

// DefaultTolerances are those of [Verify] for a type of weights, by stage; "deepstack" is for each of the stages deepstack.N. Stages
// of whole numbers are not among them: grids, tokens and positions are the same or wrong.
//
// Pixels: a value of 8 bits that is rounded to its neighbor after the resize is 2/255 away; the mean shows that this is rare.
//
// In float32, sums are made in another order, and functions such as exp are not the same to the last bit. 2e-3 is some hundred
// times what that makes on small checkpoints, and much less than a wrong constant, a missing bias or a shifted position makes.
//
// In half precision, the inputs of each product are rounded to 8 bits of mantissa (bfloat16) or 11 (float16). The bounds are two to
// three times what that makes in small checkpoints, in visual tokens with a standard deviation of about 1 and logits of about 3. Where
// a router has a close choice, rounding changes the expert, and with it much of that token's logits; so a tenth of them are let
// go, and are bound by the mean alone. transformers itself, in half precision against float32, is farther off on the same checkpoints.
//
// In int8 every weight is rounded to one of 255 steps of its row's largest, on xla:cpu every input of a product too. The bounds are
// two to three times what the same checkpoints showed, whose narrow matrices of random numbers suffer more than a trained model's:
// means of the logits of 0.05 to 0.26 on a standard deviation of about 2.7, and of 0.4 with experts.
func DefaultTolerances(dtype dtypes.DType) map[string]Tolerance {
	visual, logits := Tolerance{Max: 2e-3, Mean: 2e-3}, Tolerance{Max: 2e-3, Mean: 2e-3}
	switch dtype {
	case dtypes.BFloat16:
		visual, logits = Tolerance{Max: 0.05, Mean: 0.01}, Tolerance{Max: 0.3, Share: 0.1, Mean: 0.15}
	case dtypes.Float16:
		visual, logits = Tolerance{Max: 0.006, Mean: 0.0015}, Tolerance{Max: 0.04, Share: 0.1, Mean: 0.02}
	case dtypes.Int8:
		visual, logits = Tolerance{Max: 0.25, Mean: 0.05}, Tolerance{Max: 3, Share: 0.1, Mean: 0.8}
	}
	return map[string]Tolerance{"pixel_values": {Max: 1e-2, Mean: 1e-4}, "vision": visual, "deepstack": visual, "logits": logits}
}

// Stage is the comparison of one kind of values.
type Stage struct {
	// Name is pixel_values, image_grid_thw, input_ids, position_ids, vision, deepstack.N, logits, generated or text.
	Name string `json:"name"`
	// OK is true if the values are within the tolerance. Numbers that are not finite are not, and neither is another number of them.
	OK bool `json:"ok"`
	// Values counts the reference's values, and Beyond those whose difference is beyond the tolerance.
	Values int `json:"values"`
	Beyond int `json:"beyond"`
	// Max and Mean are the largest and the mean difference, of finite numbers. They are 0 for tokens and text.
	Max  float64 `json:"max_difference"`
	Mean float64 `json:"mean_difference"`
	// Tolerance is what was allowed. It is zero for what must be the same.
	Tolerance Tolerance `json:"tolerance"`
	// First is the index of the first value beyond the tolerance, -1 if there is none. Where only the mean is, it is the largest's.
	First int `json:"first"`
	// Detail says in words where that is, what was expected there and what came; or what else there is to say.
	Detail string `json:"detail,omitempty"`
}

// depart marks the stage as different.
func (s *Stage) depart(first int, format string, args ...any) {
	s.OK, s.First, s.Detail = false, first, fmt.Sprintf(format, args...)
}

// compareFloats compares matrices of a number of columns, whose rows are called by a name and numbered from a number on.
func compareFloats(name, row string, from int, got, want []float32, columns int, allowed Tolerance) Stage {
	s := Stage{Name: name, OK: true, Values: len(want), First: -1, Tolerance: allowed.scaled(want)}
	if len(got) != len(want) || len(want) == 0 || columns < 1 {
		s.Beyond = len(want)
		s.depart(0, "%d values, want %d", len(got), len(want))
		return s
	}
	at := func(i int) string {
		return fmt.Sprintf("%s %d, column %d: %.6g, want %.6g", row, from+i/columns, i%columns, got[i], want[i])
	}
	largest, infinite := 0, 0
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		finite := !math.IsNaN(d) && !math.IsInf(d, 0)
		if !finite || d > s.Tolerance.Max {
			if s.Beyond == 0 {
				s.depart(i, "%s", at(i))
			}
			s.Beyond++
		}
		if !finite {
			infinite++
			continue
		}
		if d > s.Max {
			s.Max, largest = d, i
		}
		s.Mean += d / float64(len(want))
	}
	s.OK = infinite == 0 && float64(s.Beyond) <= s.Tolerance.Share*float64(len(want))
	if s.OK && s.Mean > s.Tolerance.Mean {
		s.depart(largest, "the mean is beyond the tolerance; the largest: %s", at(largest))
	}
	return s
}

// compareInts compares whole numbers, which must be the same. Where says what the i-th is.
func compareInts(name string, got, want []int32, where func(i int) string) Stage {
	s := Stage{Name: name, OK: true, Values: len(want), First: -1}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			if s.Beyond == 0 {
				s.depart(i, "%s: %d, want %d", where(i), got[i], want[i])
			}
			s.Beyond++
		}
	}
	if len(got) != len(want) {
		if s.Beyond == 0 {
			s.depart(min(len(got), len(want)), "%d values, want %d", len(got), len(want))
		}
		s.Beyond += max(len(want)-len(got), len(got)-len(want))
	}
	return s
}

// compareText compares two texts.
func compareText(got, want string) Stage {
	a, b := []rune(got), []rune(want)
	s := Stage{Name: "text", OK: true, Values: len(b), First: -1}
	if !slices.Equal(a, b) {
		i := 0
		for i < min(len(a), len(b)) && a[i] == b[i] {
			i++
		}
		s.Beyond = len(b) - i
		s.depart(i, "from character %d: %.40q, want %.40q", i, string(a[i:]), string(b[i:]))
	}
	return s
}
