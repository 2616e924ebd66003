// Package crosscheck holds what a model has read of a page against the text that the page's PDF has itself.
//
// A PDF that was not scanned says what its pages say. Models leave things out, and make things up; this tells where:
//
//	report := crosscheck.Compare(result.Content, layer, crosscheck.Options{})
//	if report.Suspicious() {
//		for _, p := range report.Passages {
//			fmt.Println(p.Kind, p.Text)
//		}
//	}
//
// Words are compared without case, markup and punctuation, in n-grams, so that the order of columns does not matter. Each n-gram of the one text answers for one of the
// other: a passage that the model repeats counts as made up from the second time on. Numbers are compared by themselves and must be the same to the digit.
//
// The text of a PDF is not always the truth: a scan may have none, or that of an older OCR, and some fonts do not say what their glyphs mean. Such a layer is not used, see
// [Report].
package crosscheck
