// Package omnidocs turns images of pages into Markdown or HTML with Qwen-VL models, in Go.
//
// It mirrors the text-extraction API of the Python library OmniDocs, builds the models' graphs with GoMLX, and runs them on XLA's
// PJRT plugins (NVIDIA GPUs, CPUs) or, with nothing installed but Go, on GoMLX's pure-Go backend. This package holds no code: it says
// where things are.
//
// # Quick start
//
//	import (
//		"github.com/omnidocs/omnidocs/textextraction"
//	)
//
//	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
//		Model:  "Qwen/Qwen3-VL-2B-Instruct", // a name on the Hugging Face hub, or a folder
//		Device: "cuda",                      // or "cpu", "xla:cpu", "go"; empty chooses
//	})
//	if err != nil {
//		return err
//	}
//	defer ex.Close()
//	res, err := ex.Extract(ctx, page, textextraction.Markdown) // page is an image.Image
//	if err != nil {
//		return err
//	}
//	fmt.Println(res.Content)
//
// To see a page read without downloading a model, run the quick start, which brings a small one:
//
//	go run github.com/omnidocs/omnidocs/examples/quickstart@latest
//
// # The way of the data
//
//	image ─ qwen.Processor ─▶ patches, token ids, positions ─ qwen.Model.Encode ─▶ visual rows
//	      ─ Model.Prefill ─▶ KV cache slot ─ Model.Step, Model.Choose, until it ends ─▶ token ids
//	      ─ tokenizer ─▶ raw text ─ clean ─▶ content ─▶ ExtractResult
//
// # Where things are
//
//   - textextraction is the task as its user sees it: extractors, their configuration, results.
//   - backend is where and how it runs: devices, PJRT plugins, the engine.
//   - qwen is what a Qwen-VL model is: its configuration, processor, graphs and weights.
//   - internal holds what knows nothing of Qwen: images, tokenizer, checkpoint files, graph blocks.
//   - examples are programs to run and to copy from.
//
// Imports go up this list only.
package omnidocs
