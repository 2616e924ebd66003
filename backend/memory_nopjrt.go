//go:build !linux || !cgo

package backend

import "github.com/gomlx/compute"

// pjrtMemories is for builds that have PJRT.
func pjrtMemories(compute.Backend, int) ([]MemoryStats, error) { return nil, errNoPJRTMemory }
