package cost

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Job is what is to be read, and on what.
type Job struct {
	// Pages is how many there are.
	Pages int
	// PagesPerStart is how many pages a container reads before it ends. Zero means that each worker reads its share of all.
	PagesPerStart int
	// Workers is how many containers run at once. They make a job shorter, and cost a start each. Zero means 1.
	Workers int
	// Load is the time from a container's start to its first page, of which loading the model is the most.
	Load time.Duration
	// PerPage is the time of a page that is read alone, Together how many a container reads in that time; zero means 1.
	PerPage  time.Duration
	Together float64
	// Idle is how long a container is kept, and paid, after its last page (Modal's scaledown_window).
	Idle time.Duration
	// GPU is the name of the GPU, and how many of them a container has, "A10G:1". Empty is none.
	GPU string
	// CPUCores and MemoryGiB are those of a container.
	CPUCores, MemoryGiB float64
	// Spot takes the price of machines that may be taken away; Redone is the share of the work, from 0, that is then done twice.
	Spot   bool
	Redone float64
}

// Estimate is what a job costs, in US dollars, and how long it takes.
type Estimate struct {
	// Starts is how many containers are started.
	Starts int `json:"starts"`
	// Paid is the time of all containers together, Wall that from the beginning to the last page.
	Paid time.Duration `json:"paid_ns"`
	Wall time.Duration `json:"wall_ns"`
	// GPU, CPU and Memory make Total.
	GPU    float64 `json:"gpu"`
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	Total  float64 `json:"total"`
	// PerPage is Total over the pages.
	PerPage float64 `json:"per_page"`
}

func (j Job) check() error {
	var errs []error
	refuse := func(bad bool, name string, value any, want string) {
		if bad {
			errs = append(errs, fmt.Errorf("cost: %s is %v, want %s", name, value, want))
		}
	}
	number := func(name string, v float64) {
		refuse(!(v >= 0) || math.IsInf(v, 0), name, v, "0 or more")
	}
	refuse(j.Pages < 1, "Pages", j.Pages, "1 or more")
	refuse(j.PagesPerStart < 0, "PagesPerStart", j.PagesPerStart, "1 or more, or 0 for all")
	refuse(j.Workers < 0, "Workers", j.Workers, "1 or more, or 0 for one")
	refuse(j.Load < 0, "Load", j.Load, "0 or more")
	refuse(j.PerPage < 0, "PerPage", j.PerPage, "0 or more")
	refuse(j.Idle < 0, "Idle", j.Idle, "0 or more")
	refuse(j.Together != 0 && !(j.Together >= 1) || math.IsInf(j.Together, 0), "Together", j.Together, "1 or more, or 0 for one")
	number("CPUCores", j.CPUCores)
	number("MemoryGiB", j.MemoryGiB)
	number("Redone", j.Redone)
	return errors.Join(errs...)
}

// Estimate tells what a job costs at these rates. A GPU that has no price is an error.
func (r Rates) Estimate(j Job) (Estimate, error) {
	if err := errors.Join(r.check(), j.check()); err != nil {
		return Estimate{}, err
	}
	var gpuHour float64
	if j.GPU != "" {
		name, count, err := ParseGPU(j.GPU)
		if err != nil {
			return Estimate{}, err
		}
		price, err := r.gpu(name, j.Spot)
		if err != nil {
			return Estimate{}, err
		}
		gpuHour = price * float64(count)
	}
	workers := min(max(1, j.Workers), j.Pages)
	starts := workers
	if j.PagesPerStart > 0 {
		starts = (j.Pages + j.PagesPerStart - 1) / j.PagesPerStart
		workers = min(workers, starts)
	}
	// In seconds, since a million pages may take longer than a Duration can hold.
	overhead := j.Load.Seconds() + j.Idle.Seconds()
	paid := float64(starts)*overhead + j.work(starts)
	// The worker with the most to do begins as many containers, and reads as many pages, as any.
	turns := (starts + workers - 1) / workers
	most := j
	if most.Pages = (j.Pages + workers - 1) / workers; j.PagesPerStart > 0 {
		most.Pages = min(j.Pages, turns*j.PagesPerStart)
	}
	wall := float64(turns)*overhead - j.Idle.Seconds() + most.work(turns)

	e := Estimate{Starts: starts, Paid: duration(paid), Wall: duration(wall)}
	hours := paid / 3600
	e.GPU, e.CPU, e.Memory = hours*gpuHour, hours*j.CPUCores*r.CPUCore, hours*j.MemoryGiB*r.MemoryGiB
	e.Total = e.GPU + e.CPU + e.Memory
	e.PerPage = e.Total / float64(j.Pages)
	return e, nil
}

// work is how many seconds so many containers read the job's pages. None is done sooner than a page.
func (j Job) work(starts int) float64 {
	alone := j.PerPage.Seconds() * (1 + j.Redone)
	each := alone / max(1, j.Together)
	read := func(pages int) float64 { return max(alone, float64(pages)*each) }
	if n := j.PagesPerStart; n > 0 {
		return float64(starts-1)*read(n) + read(j.Pages-(starts-1)*n)
	}
	share, more := j.Pages/starts, j.Pages%starts
	return float64(more)*read(share+1) + float64(starts-more)*read(share)
}

// duration turns seconds into a Duration, the longest there is where they do not fit.
func duration(seconds float64) time.Duration {
	if ns := seconds * float64(time.Second); ns < math.MaxInt64 {
		return time.Duration(ns)
	}
	return math.MaxInt64
}
