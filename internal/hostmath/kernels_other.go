//go:build !amd64 && !arm64

package hostmath

// native are the instructions that the processor has: there are none here that this package uses.
func native() []*instructions { return nil }
