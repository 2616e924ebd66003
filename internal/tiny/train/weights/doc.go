// Package weights is a module of its own so that model.safetensors, where training goes on from, is no part of what users of the
// library download. It holds no code.
package weights
