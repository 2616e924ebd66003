//go:build !linux || !cgo

package aot

import "errors"

// Compiler compiles programs for one GPU.
type Compiler struct{}

var errPlatform = errors.New("aot: XLA's plugins need Linux and a build with cgo")

// New fails: XLA's plugins need Linux and a build with cgo.
func New(Target) (*Compiler, error) { return nil, errPlatform }

// Close does nothing.
func (*Compiler) Close() error { return nil }

// Compile fails.
func (*Compiler) Compile([]byte) (*Program, error) { return nil, errPlatform }
