package backend

import (
	"fmt"
	"runtime"

	"github.com/gomlx/compute/gobackend"
)

// openGo opens the pure-Go backend. It cannot fail without options.
func openGo(options string) (*Device, error) {
	be, err := gobackend.New(options)
	if err != nil {
		return nil, err
	}
	vector := "without SIMD: build with GOEXPERIMENT=simd for several times the speed"
	switch {
	case builtWithSIMD:
		vector = "with SIMD"
	case runtime.GOARCH != "amd64":
		vector = "without SIMD"
	}
	return &Device{
		backend:     be,
		kind:        KindGo,
		description: fmt.Sprintf("pure Go on the CPU, %d threads, built %s (%s, %s/%s)", runtime.GOMAXPROCS(0), vector, runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}, nil
}
