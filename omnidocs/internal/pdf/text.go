package pdf

import (
	"strings"

	"github.com/klippa-app/go-pdfium/requests"
)

// text is the text of a page.
func (w *worker) text(i int) (string, error) {
	return withPage(w, i, func(page requests.Page) (string, error) {
		loaded, err := w.pdfium.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: page})
		if err != nil {
			return "", err
		}
		chars, err := w.pdfium.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: loaded.TextPage})
		if err != nil {
			return "", err
		}
		text := ""
		if chars.Count > 0 {
			got, err := w.pdfium.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: loaded.TextPage, Count: chars.Count})
			if err != nil {
				return "", err
			}
			text = got.Text
		}
		if _, err := w.pdfium.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: loaded.TextPage}); err != nil {
			return "", err
		}
		return cleanText(text), nil
	})
}

// cleanText makes lines end in "\n", and drops what is no text: NUL, and U+FFFE, with which PDFium marks a hyphen at the
// end of a line.
func cleanText(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "", "\ufffe", "-").Replace(text)
}
