//go:build !linux

package backend

func hostMemory() (MemoryStats, error) { return runtimeMemory(), nil }
