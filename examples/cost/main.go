// Command cost is "Cost Optimization" of the Python library's deployment guide: what it costs to read pages on a rented GPU, by how many
// pages a start of the container serves, and for 100 to 1,000,000 pages. (The guide's table has the cost of a batch where it says cost per
// image, and prices that are not asked any more.)
//
//	go run ./examples/cost
//	go run ./examples/cost -gpu L40S:1 -load 60s -page 8s -together 32
//	go run ./examples/cost -gpu A10G -rate 0.35 -load 2s -page 3s -cores 0 -memory 0    # the guide's table, with its own rate
//
// Measure -load, -page and -together with examples/bench and examples/throughput: nothing here knows your model. The prices are a
// table with a date; -rate gives that of one GPU, -rates a file of your own (the JSON of cost.Rates).
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/cost"
)

func main() {
	job := cost.Job{}
	flag.StringVar(&job.GPU, "gpu", "A10G:1", "GPU and number of GPUs of a container")
	flag.DurationVar(&job.Load, "load", 40*time.Second, "time from a container's start to its first page")
	flag.DurationVar(&job.PerPage, "page", 6*time.Second, "time of a page")
	flag.Float64Var(&job.Together, "together", 8, "pages that are read in that time")
	flag.DurationVar(&job.Idle, "idle", 0, "how long a container is kept after its last page")
	flag.Float64Var(&job.CPUCores, "cores", 4, "physical cores of a container")
	flag.Float64Var(&job.MemoryGiB, "memory", 32, "memory of a container in GiB")
	flag.BoolVar(&job.Spot, "spot", false, "machines that may be taken away, where the rates have a price for them")
	flag.Float64Var(&job.Redone, "redone", 0, "share of the work that is then done twice")
	flag.IntVar(&job.Workers, "workers", 1, "containers at once, in the second table")
	rate := flag.Float64("rate", 0, "dollars an hour of one such GPU, in place of the table's")
	file := flag.String("rates", "", "file with rates, in place of the table")
	flag.Parse()
	if err := run(os.Stdout, job, *rate, *file); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, job cost.Job, rate float64, file string) error {
	rates, err := ratesFor(job.GPU, rate, file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Rates: %s, %s (%s)\n\n", rates.Provider, rates.AsOf, rates.Source)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "pages a start\ttime\ta start\ta page\t100 pages\t")
	for _, n := range []int{1, 2, 5, 10, 20, 50, 100} {
		one := job
		one.Pages, one.PagesPerStart, one.Workers = n, n, 1
		e, err := rates.Estimate(one)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%d\t%s\t$%.4f\t$%.6f\t$%.4f\t\n", n, e.Paid.Round(time.Second), e.Total, e.PerPage, 100*e.PerPage)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nEach of %d containers reads its share and ends:\n\n", max(1, job.Workers))
	fmt.Fprintln(w, "pages\ttime\tGPU\tCPU\tmemory\tin all\ta page\t")
	for n := 100; n <= 1_000_000; n *= 10 {
		all := job
		all.Pages = n
		e, err := rates.Estimate(all)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%d\t%s\t$%.2f\t$%.2f\t$%.2f\t$%.2f\t$%.6f\t\n", n, e.Wall.Round(time.Second), e.GPU, e.CPU, e.Memory, e.Total, e.PerPage)
	}
	return w.Flush()
}

// ratesFor are the rates of the table or the file, with the price that was given for the GPU.
func ratesFor(gpu string, rate float64, file string) (cost.Rates, error) {
	rates := cost.Modal()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return cost.Rates{}, err
		}
		defer f.Close()
		if rates, err = cost.Read(f); err != nil {
			return cost.Rates{}, err
		}
	}
	if rate != 0 {
		name, _, err := cost.ParseGPU(gpu)
		if err != nil {
			return cost.Rates{}, err
		}
		if as, ok := rates.Aliases[name]; ok {
			name = as
		}
		rates.GPU[name] = cost.GPURate{OnDemand: rate, Spot: rate}
	}
	return rates, nil
}
