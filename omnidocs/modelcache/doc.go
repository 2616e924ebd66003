// Package modelcache keeps models loaded, so that the second extractor with the same model costs nothing.
//
//	ex, err := modelcache.Default.Extractor(ctx, textextraction.QwenTextPyTorchConfig{Model: "Qwen/Qwen3-VL-8B-Instruct"})
//	if err != nil {
//		return err
//	}
//	defer ex.Close() // the model stays, for the next one
//
// It mirrors the model cache of the Python library OmniDocs: entries are counted by those who use them, and when there
// are too many the one used longest ago goes, of those that nobody uses if there are such. Configs that differ only in how
// a page is read (MaxNewTokens, Temperature and so on) share a model, and each reads as it says. A model that several ask
// for at once is loaded once; nobody waits for another model's loading.
//
// [Dir] and [Storage] tell where downloaded models are kept, and what is there.
package modelcache
