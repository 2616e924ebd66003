//go:build !linux || !cgo

package backend

import (
	"fmt"
	"runtime"
)

// xlaSupported says why XLA cannot be had in this build.
func xlaSupported() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf(`%w: XLA's plugins are loaded on Linux only, this is %s; the device "go" runs everywhere`, ErrUnavailable, runtime.GOOS)
	}
	return fmt.Errorf(`%w: built without cgo, which XLA's plugins need: build with CGO_ENABLED=1 and a C compiler; the device "go" needs neither`, ErrUnavailable)
}

func startXLA(xlaSpec, place) (xlaInfo, error) {
	return xlaInfo{}, xlaSupported()
}
