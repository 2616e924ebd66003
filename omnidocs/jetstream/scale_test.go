package jetstream_test

import (
	"fmt"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/cost"
)

// The money of SCALE.md: a billion pages, on a thousand workers with one GPU each.
func Example_billionPages() {
	for _, w := range []struct {
		gpu  string
		rate float64 // pages a second
	}{{"H200", 1}, {"H200", 3.8}} {
		e, err := cost.Modal().Estimate(cost.Job{
			Pages: 1_000_000_000, Workers: 1000, Load: 3 * time.Minute, PerPage: time.Duration(32 / w.rate * float64(time.Second)), Together: 32,
			GPU: w.gpu, CPUCores: 4, MemoryGiB: 32,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s at %.1f pages/s: %.0f days, $%.0f, $%.2f for 1,000 pages\n", w.gpu, w.rate, e.Wall.Hours()/24, e.Total, 1000*e.PerPage)
	}
	// Output:
	// H200 at 1.0 pages/s: 12 days, $1384916, $1.38 for 1,000 pages
	// H200 at 3.8 pages/s: 3 days, $364635, $0.36 for 1,000 pages
}
