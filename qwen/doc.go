// Package qwen is what a Qwen-VL model is: its configuration, its image processor, its chat prompt, the graphs of its two
// towers and the strict loading of their weights. It knows nothing of devices, of sampling policies or of documents.
//
// A page goes through it in one direction, one small value an arrow:
//
//	image ─ Processor.Process ─▶ Patches ─ Model.Encode ─▶ Visual
//	prompt, grid ─ Model.Layout ─▶ Layout
//	Layout, Visual ─ Model.Prefill ─▶ a slot of a Cache, and the Hidden state of the last token
//	Hidden ─ Model.Choose ─▶ token ─ Model.Step ─▶ Hidden, until a token of Spec.EOS
//
// A request's state lives in those values and never on the Model, which many goroutines may share.
//
// The graphs are those of Hugging Face transformers, tower by tower and symbol by symbol, in float32 unless asked for less.
// Each is compiled a block or layer at a time: compiling takes a fraction of a second, memory is that of one block, and a
// context is obeyed between them. Shapes are rounded up to a few sizes, with the padding masked.
//
// [Verify] compares every stage with what transformers computed, on the user's own device, checkpoint and pages.
package qwen
