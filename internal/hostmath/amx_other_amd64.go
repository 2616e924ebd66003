//go:build !linux

package hostmath

// hasTiles says whether there is AMX, which other systems grant in other ways.
func hasTiles() bool { return false }
