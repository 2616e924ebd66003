package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

func makePlan(t *testing.T, o backend.LoadOptions) *backend.Plan {
	t.Helper()
	if o.Model == "" {
		o.Model = goldenModel
	}
	if o.Device == "" {
		o.Device = "go"
	}
	plan, err := backend.MakePlan(t.Context(), o)
	require.NoError(t, err)
	return plan
}

func TestMakePlan(t *testing.T) {
	plan := makePlan(t, backend.LoadOptions{MaxBatch: backend.BatchThatFits, Page: backend.PlanPage{Width: 300, Height: 200}})
	require.True(t, plan.Fits, plan)
	require.Equal(t, "float32", plan.DType)
	require.Positive(t, plan.Limit, "a CPU's is what is free")
	require.Equal(t, 300, plan.Page.Width)
	require.Positive(t, plan.Page.VisualTokens)
	require.Greater(t, plan.Page.PromptTokens, plan.Page.VisualTokens)
	require.Equal(t, 8, plan.Slots, "as many as are of use on a CPU")
	require.Empty(t, plan.Advice)
	text := plan.String()
	for _, want := range []string{"fits", "weights", "in all", strconv.Itoa(plan.Page.VisualTokens) + " visual tokens"} {
		require.Contains(t, text, want)
	}
	data, err := json.Marshal(plan)
	require.NoError(t, err)
	var back backend.Plan
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, plan.Cache, back.Cache)
	require.Contains(t, string(data), `"visual_tokens":`)

	// For a device that is not here.
	gpu := makePlan(t, backend.LoadOptions{Device: "cuda:1", MemoryLimit: 1 << 30, MaxBatch: backend.BatchThatFits})
	require.Equal(t, "xla:cuda", gpu.Device)
	require.Equal(t, "bfloat16", gpu.DType)
	require.Equal(t, 256, gpu.Slots)
	require.Less(t, gpu.Weights.Bytes, plan.Weights.Bytes)
}

// The plan's numbers follow from its fields, and the slots from the memory.
func TestPlanSlots(t *testing.T) {
	o := backend.LoadOptions{Device: "cuda", MaxBatch: backend.BatchThatFits, VisionCache: -1}
	slots := 0
	for megabytes := int64(8); megabytes <= 64; megabytes *= 2 {
		o.MemoryLimit = megabytes << 20
		plan := makePlan(t, o)
		require.True(t, plan.Fits, plan)
		require.LessOrEqual(t, plan.Total, plan.Limit)
		require.Equal(t, plan.Total, plan.Weights.Bytes+plan.VisionCache+plan.PrefixCache+plan.Overhead+plan.Page.Peak()+max(plan.Cache.Most(), plan.Longest.Most()))
		require.Greater(t, plan.Slots, slots, "with twice the memory")
		slots = plan.Slots
	}
	o.Page.Pages = 3
	require.Equal(t, 3, makePlan(t, o).Slots)
	o.Page.Pages, o.MaxBatch = 0, 2
	require.Equal(t, 2, makePlan(t, o).Slots)
	o.MaxBatch = 200
	plan := makePlan(t, o)
	require.Equal(t, slots, plan.Slots)
	require.Contains(t, plan.Advice[0], "not for 200")
	o.MemoryLimit = -1
	plan, err := backend.MakePlan(t.Context(), backend.LoadOptions{Model: goldenModel, Device: "go", MemoryLimit: -1})
	require.NoError(t, err)
	require.True(t, plan.Fits)
	require.Zero(t, plan.Limit)
	require.Contains(t, plan.String(), "is not known")
}

// A model that does not fit is refused before anything is loaded, and each advice makes it fit.
func TestPlanDoesNotFit(t *testing.T) {
	o := backend.LoadOptions{Model: goldenModel, Device: "go", MaxModelLen: 2048, VisionCache: -1, PrefixCache: -1}
	o.MemoryLimit = makePlan(t, o).Total - 1<<10
	o.DType = "float32"
	plan := makePlan(t, o)
	require.False(t, plan.Fits)
	require.Contains(t, plan.String(), "does not fit")
	_, err := backend.Load(t.Context(), o)
	require.ErrorIs(t, err, backend.ErrOutOfMemory)
	var oom *backend.OutOfMemoryError
	require.ErrorAs(t, err, &oom)
	require.Equal(t, plan, oom.Plan)
	require.NoError(t, errors.Unwrap(oom), "the device was not asked")
	require.NotEmpty(t, plan.Advice)
	helped := 0
	for _, advice := range plan.Advice {
		other := o
		if m := regexp.MustCompile(`^MaxModelLen (\d+)`).FindStringSubmatch(advice); m != nil {
			other.MaxModelLen, _ = strconv.Atoi(m[1])
		} else if m := regexp.MustCompile(`^MaxPixels (\d+)`).FindStringSubmatch(advice); m != nil {
			other.Page.MaxPixels, _ = strconv.Atoi(m[1])
		} else if m := regexp.MustCompile(`^DType "(.*)"`).FindStringSubmatch(advice); m != nil {
			other.DType = m[1]
		} else if regexp.MustCompile(`^Quantization "int8"`).MatchString(advice) {
			other.DType, other.Quantization = "", "int8"
		} else {
			continue
		}
		require.True(t, makePlan(t, other).Fits, "%s\n%s", advice, makePlan(t, other))
		helped++
	}
	require.GreaterOrEqual(t, helped, 2, plan.Advice)
	o.ShorterModelLen = true
	plan = makePlan(t, o)
	require.True(t, plan.Fits)
	require.Less(t, plan.MaxModelLen, 2048)
	e, err := backend.Load(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, plan.MaxModelLen, e.Plan().MaxModelLen)
	require.NoError(t, e.Close())

	o.MemoryLimit = 1 << 20
	plan = makePlan(t, o)
	require.False(t, plan.Fits)
	require.Contains(t, plan.Advice[len(plan.Advice)-1], "more memory, or a smaller model")
}

func TestMemoryOptionsRefused(t *testing.T) {
	for want, o := range map[string]backend.LoadOptions{
		"MaxBatch is -2":           {MaxBatch: -2},
		"MaxModelLen is -1":        {MaxModelLen: -1},
		"MemoryUtilization is 1.5": {MemoryUtilization: 1.5},
		"MemoryUtilization is 0.0": {MemoryUtilization: 0.05},
		"give one of them":         {MemoryUtilization: 0.5, MemoryLimit: 1},
	} {
		o.Model = goldenModel
		_, err := backend.Load(t.Context(), o)
		require.ErrorContains(t, err, want)
		_, err = backend.MakePlan(t.Context(), o)
		require.ErrorContains(t, err, want)
	}
}

func ExampleMakePlan() {
	plan, err := backend.MakePlan(context.Background(), backend.LoadOptions{
		Model: "omnidocs/tiny", Device: "cuda", MemoryLimit: 1 << 30, MaxBatch: backend.BatchThatFits,
		Page: backend.PlanPage{Width: 1240, Height: 1754, Pages: 32},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("fits:", plan.Fits)
	fmt.Println(plan.Page.VisualTokens, "visual tokens,", plan.Slots, "pages at a time")
	// Output:
	// fits: true
	// 247 visual tokens, 32 pages at a time
}
