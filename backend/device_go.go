package backend

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/gomlx/compute/gobackend"

	"github.com/omnidocs/omnidocs/internal/hostmath"
)

// openGo opens the pure-Go backend. It cannot fail without options.
//
// The operations of a graph run one after the other, each on all cores. compute v0.1.6 can also run those side by side that do
// not depend on each other, and does by default; but as soon as twice as many large matrix products are ready as there are
// cores, its workers wait for each other for ever (TestGoDoesNotHang).
func openGo(options string) (*Device, error) {
	if options == "" {
		options = "ops_sequential"
	} else if !strings.Contains(options, "ops_") {
		options += ",ops_sequential"
	}
	be, err := gobackend.New(options)
	if err != nil {
		return nil, err
	}
	vector := "without vector instructions"
	if name := hostmath.Vectors(); name != "" {
		vector = "with " + name
	}
	return &Device{
		backend:     be,
		kind:        KindGo,
		description: fmt.Sprintf("pure Go on the CPU, %d threads, %s (%s, %s/%s)", runtime.GOMAXPROCS(0), vector, runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}, nil
}
