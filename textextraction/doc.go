// Package textextraction turns page images into Markdown or HTML with Qwen-VL models.
//
// It mirrors the text extraction of the Python library OmniDocs, so that a reader of its guide finds their way:
//
//	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
//		Model:  "Qwen/Qwen3-VL-8B-Instruct",
//		Device: "cuda",
//	})
//	if err != nil {
//		return err
//	}
//	defer ex.Close()
//	res, err := ex.Extract(ctx, img, textextraction.Markdown)
//	if err != nil {
//		return err
//	}
//	fmt.Println(res.Content, res.WordCount, res.ContentLength)
//
// [TextExtractor] is the interface, [QwenTextExtractor] its implementation; the [Config] says which model runs, and where.
// With Model: [TinyModel] no download is made.
//
// # Calls
//
// Extract reads an image, ExtractFile an image file, ExtractWith takes [Options] of the one call: another prompt, fewer
// tokens, other sampling. Batch reads any number of pages from a source that need not have them all in memory:
//
//	for res, err := range ex.Batch(ctx, textextraction.Files(ctx, paths...), textextraction.BatchOptions{}) {
//		…
//	}
//
// A page that fails ends with its own error, and the others go on. An extractor may be used from several goroutines.
//
// # Results
//
// [ExtractResult] has what Python's TextOutput has, and why the text ended, the counts of tokens, the times of the stages,
// and what it ran on. A text that met the bound on its tokens is marked Truncated, and is no error. [Clean] and
// [PlainText] are the ways from a model's answer to Content and PlainText.
//
// # What differs from Python
//
//   - Temperature 0, greedy, is the default, so that a page gives the same text on every run. Python's 0.1 does not.
//   - A device that is named is used, or there is an error. Python goes on without a word on the CPU.
//   - The cleaning leaves alone what is not markup; [Clean] and [PlainText] list the differences.
//   - Transparent pixels are white, not black; EXIF orientation is honored; no temporary files are written.
//   - Batch decodes BatchSize pages together, in this process. Its callback tells of pages that have ended.
//   - ModelName is the model's id, not the name of the config.
package textextraction
