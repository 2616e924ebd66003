// Package tiny holds a small checkpoint that reads pages, and draws pages it
// can read.
//
// The checkpoint has the architecture and the folder layout of Qwen3-VL, so
// everything that loads a model from a folder loads it unchanged. It reads
// English set in Go Mono and nothing else: MODEL.md says how well, train/ says
// how it was made. It serves the quickstart, tests and examples, which then
// need no download.
package tiny

import (
	"embed"
	"fmt"
	"io/fs"
)

// Name is what the embedded checkpoint is called where a model is asked for by name.
const Name = "omnidocs/tiny"

//go:embed checkpoint
var files embed.FS

// FS returns the checkpoint: config.json, model.safetensors, tokenizer.json and
// the other files of a model folder lie at its root. It is read-only and safe
// for concurrent use.
func FS() fs.FS {
	root, err := fs.Sub(files, "checkpoint")
	if err != nil {
		// The folder is embedded under a constant, valid name: only a change of the two lines above gets here.
		panic(fmt.Sprintf("tiny: embedded checkpoint: %v", err))
	}
	return root
}
