// Package backend is where and how a model runs: devices and their plugins, and the engine that reads pages together.
//
// [Open] opens a device by name: "go" (pure Go, always there), "xla:cpu" and "cuda" (XLA's PJRT plugins), or the best there is.
// [Load] opens one and loads a model onto it; [Engine.Generate] reads pages with it.
package backend
