package cost_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/cost"
)

// guide has the rate of Modal's guide for OmniDocs, whose arithmetic is done again here.
var guide = cost.Rates{GPU: map[string]cost.GPURate{"A10G": {OnDemand: 0.35, Spot: 0.14}}}

// The guide's table, with what a page costs where the guide prints what a batch does.
func TestGuidesTable(t *testing.T) {
	for batch, want := range map[int]string{1: "0.000486", 5: "0.000331", 10: "0.000311", 50: "0.000296", 100: "0.000294"} {
		e, err := guide.Estimate(cost.Job{Pages: 100, PagesPerStart: batch, Load: 2 * time.Second, PerPage: 3 * time.Second, GPU: "A10G:1"})
		require.NoError(t, err)
		require.Equal(t, want, fmt.Sprintf("%.6f", e.PerPage), batch)
		require.Equal(t, 100/batch, e.Starts)
	}
}

func TestEstimate(t *testing.T) {
	rates := cost.Rates{
		GPU:     map[string]cost.GPURate{"A10": {OnDemand: 1.2, Spot: 0.6}},
		Aliases: map[string]string{"A10G": "A10"}, CPUCore: 0.05, MemoryGiB: 0.01,
	}
	job := cost.Job{Pages: 100, Load: 60 * time.Second, PerPage: 3 * time.Second, GPU: "A10G"}
	for _, test := range []struct {
		name   string
		change func(*cost.Job)
		paid   time.Duration
		wall   time.Duration
		starts int
		total  float64
	}{
		{"one container", func(*cost.Job) {}, 360 * time.Second, 360 * time.Second, 1, 0.12},
		{"two GPUs", func(j *cost.Job) { j.GPU = "A10:2" }, 360 * time.Second, 360 * time.Second, 1, 0.24},
		{"four workers", func(j *cost.Job) { j.Workers = 4 }, 540 * time.Second, 135 * time.Second, 4, 0.18},
		{"more workers than pages", func(j *cost.Job) { j.Pages, j.Workers = 2, 9 }, 126 * time.Second, 63 * time.Second, 2, 0.042},
		{"thirty pages a start, two workers", func(j *cost.Job) { j.PagesPerStart, j.Workers = 30, 2 }, 540 * time.Second, 300 * time.Second, 4, 0.18},
		{"four pages together", func(j *cost.Job) { j.Together = 4 }, 135 * time.Second, 135 * time.Second, 1, 0.045},
		{"fewer pages than are read together", func(j *cost.Job) { j.Pages, j.Together, j.PagesPerStart = 5, 4, 4 }, 126 * time.Second, 126 * time.Second, 2, 0.042},
		{"idle after the last page", func(j *cost.Job) { j.Idle = 40 * time.Second }, 400 * time.Second, 360 * time.Second, 1, 0.4 / 3},
		{"spot", func(j *cost.Job) { j.Spot, j.Redone = true, 0.1 }, 390 * time.Second, 390 * time.Second, 1, 0.065},
		{"cores and memory", func(j *cost.Job) { j.CPUCores, j.MemoryGiB = 4, 16 }, 360 * time.Second, 360 * time.Second, 1, 0.12 + 0.02 + 0.016},
		{"no GPU", func(j *cost.Job) { j.GPU, j.CPUCores = "", 2 }, 360 * time.Second, 360 * time.Second, 1, 0.01},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := job
			test.change(&j)
			e, err := rates.Estimate(j)
			require.NoError(t, err)
			require.InDelta(t, test.paid.Seconds(), e.Paid.Seconds(), 1e-6)
			require.InDelta(t, test.wall.Seconds(), e.Wall.Seconds(), 1e-6)
			require.Equal(t, test.starts, e.Starts)
			require.InDelta(t, test.total, e.Total, 1e-9)
			require.InDelta(t, e.Total, e.GPU+e.CPU+e.Memory, 1e-12)
			require.InDelta(t, e.Total/float64(j.Pages), e.PerPage, 1e-12)
		})
	}
	t.Run("longer than a Duration", func(t *testing.T) {
		j := job
		j.Pages, j.PerPage = 1e12, time.Hour
		e, err := rates.Estimate(j)
		require.NoError(t, err)
		require.Equal(t, time.Duration(math.MaxInt64), e.Paid)
		require.InEpsilon(t, 1.2e12, e.Total, 1e-6)
	})
}

func TestEstimateRefuses(t *testing.T) {
	good := cost.Job{Pages: 1, GPU: "T4"}
	for _, test := range []struct {
		name   string
		change func(*cost.Job)
		want   string
	}{
		{"no pages", func(j *cost.Job) { j.Pages = 0 }, "Pages is 0, want 1 or more"},
		{"negative time", func(j *cost.Job) { j.PerPage = -time.Second }, "PerPage is -1s"},
		{"not a number", func(j *cost.Job) { j.CPUCores = math.NaN() }, "CPUCores is NaN"},
		{"unknown GPU", func(j *cost.Job) { j.GPU = "A40:1" }, `no price for the GPU "A40" (there are A10, A100-40GB`},
		{"no GPUs", func(j *cost.Job) { j.GPU = "T4:0" }, `GPU "T4:0"`},
		{"number of GPUs", func(j *cost.Job) { j.GPU = "T4:many" }, `GPU "T4:many"`},
		{"spot where there is none", func(j *cost.Job) { j.Spot = true }, `no spot price for the GPU "T4"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := good
			test.change(&j)
			_, err := cost.Modal().Estimate(j)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := cost.Modal().Estimate(good)
	require.NoError(t, err)
}

func TestRead(t *testing.T) {
	r, err := cost.Read(strings.NewReader(`{"provider": "ours", "as_of": "2026-11-01", "gpu": {"H100": {"on_demand": 2, "spot": 1}}, "cpu_core_hour": 0.01}`))
	require.NoError(t, err)
	require.Equal(t, cost.Rates{Provider: "ours", AsOf: "2026-11-01", GPU: map[string]cost.GPURate{"H100": {OnDemand: 2, Spot: 1}}, CPUCore: 0.01}, r)
	for data, want := range map[string]string{
		`{"gpus": {}}`:                         "gpus",
		`{"gpu": {"H100": {"on_demand": -1}}}`: "H100 is -1",
		`{} {}`:                                "more behind",
		``:                                     "EOF",
	} {
		_, err := cost.Read(strings.NewReader(data))
		require.ErrorContains(t, err, want)
	}
}

func ExampleRates_Estimate() {
	rates := cost.Modal()
	rates.GPU["A10"] = cost.GPURate{OnDemand: 1.00} // what you pay
	e, err := rates.Estimate(cost.Job{
		Pages: 10000, Workers: 4, Load: 45 * time.Second, PerPage: 6 * time.Second, Together: 12, GPU: "A10G:1", Idle: time.Minute,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("$%.2f, $%.6f a page, %s with %d containers\n", e.Total, e.PerPage, e.Wall, e.Starts)
	// Output: $1.51, $0.000151 a page, 21m35s with 4 containers
}
