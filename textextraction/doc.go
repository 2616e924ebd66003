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
// Stream yields a page's text as it is written, cleaned, in [Delta] pieces.
//
// # Loops
//
// A model that reads a page can fall into a loop and write the same to the bound on its tokens. That is found while it writes, also
// where the period is long, and with an eye to what may honestly repeat (rows of tables, dot leaders, forms). The page is then taken
// back to before the loop, without being read again, and goes on from there another way; [Repetition] says how often, and turns it
// off. [ExtractResult.Recoveries] counts it. A page that cannot be brought out of its loop ends as [FinishRepetition], with the text
// before the loop.
//
// # Confidence
//
// Beside the text there is how sure the model was of it: [ExtractResult.Confidence] for the page, [ExtractResult.Words] for each word,
// [ExtractResult.ConfidenceOf] for any part of RawOutput. [ExtractResult.UncertainSpans] lists the words that are worth a second look.
//
// # Presets
//
// A finetune of Qwen-VL was trained with a prompt, a size of pages and a form of answer of its own. A [Preset] says so, as
// data: [Presets] has those of Chandra, olmOCR-2, RolmOCR, Nanonets-OCR, MinerU2.5, FireRed-OCR, Logics-Parsing and
// Infinity-Parser. The one for a model is found by the model's name, see [PresetFor]; the config's Preset names another,
// and its CustomPreset is one of your own. What the config or the call says itself wins over the preset.
//
// MinerU2.5 reads a page in two steps: where its blocks are, then each of them, cut out of the page. Both have a preset,
// "mineru25-layout" and "mineru25"; cutting the blocks out, asking for tables and formulas with prompts of their own
// ("\nTable Recognition:", "\nFormula Recognition:"), and joining the texts is left to the caller. On a whole page
// "mineru25" alone reads what the model makes of it as one block.
//
// # Results
//
// [ExtractResult] has what Python's TextOutput has, and why the text ended, the counts of tokens, the times of the stages,
// and what it ran on; with some presets also the page's FrontMatter. A text that met the bound on its tokens is marked
// Truncated, and is no error. [Clean] and
// [PlainText] are the ways from a model's answer to Content and PlainText.
//
// Elements are the parts of the page in the order of reading: headings, paragraphs, items, tables, figures, formulas, captions and
// so on, each an [Element] with its text, its place in the source image where the model gave one, and where in RawOutput it
// was read. The coordinates of every model are brought to pixels of the source. A table's cells are in its Table, which can be
// written as Markdown, HTML, CSV or JSON. [Preset.ReadAnswer] does the same for answers from elsewhere.
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
