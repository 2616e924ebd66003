// Package qwen is what a Qwen-VL model is: its configuration, its image processor, its chat prompt, the graphs of its two
// towers and the strict loading of their weights. It knows nothing of devices, of sampling policies or of documents.
//
// A page goes through it in one direction, one small value an arrow:
//
//	image ─ Processor.Process ─▶ Patches ─ Model.Encode ─▶ Visual
//	prompt, grid ─ Model.Layout ─▶ Layout
//	Layout, Visual ─ Model.Prompt ─▶ Prompted ─ Cache.Take ─▶ a slot of a Cache (Model.Prefill is both)
//	Hidden ─ Model.Choose ─▶ token ─ Model.Step ─▶ Hidden, until a token of Spec.EOS
//
// A request's state lives in those values and never on the Model, which many goroutines may share. Cache.Mark and Cache.Rewind
// take a sequence back to an earlier token, Cache.Fit moves sequences to a smaller or larger cache.
//
// The generations are one implementation: a Spec says in which of them a checkpoint differs, field by field, and what is another
// kind of layer is a block of its own (delta.go, experts.go).
//
// The graphs are those of Hugging Face transformers, tower by tower and symbol by symbol, in float32 unless asked for less.
// Each is compiled a block or layer at a time, and large pages and prompts go through in stripes: compiling takes a fraction of a
// second, memory is that of one stripe, and a context is obeyed between them. Shapes are rounded up to a few sizes, with the padding masked.
//
// Where host and device are one the host runs layers itself, with loops of its own in place of graphs: a token's step, and on the
// pure-Go backend, which takes many times as long, images and prompts too. [Runtime] says which.
//
// [Verify] compares every stage with what transformers computed, on the user's own device, checkpoint and pages.
package qwen
