// Package pdf renders the pages of PDFs, and reads their text, with PDFium compiled to WebAssembly.
//
// PDFium is C++ that reads what strangers wrote. Here it runs in a sandbox, in pure Go, with a bound on its memory and no
// file system: a PDF that breaks it costs the call an error and the sandbox its life, and nothing else. A sandbox takes
// milliseconds to make, so each serves one document alone, and a few documents' sandboxes are kept at a time.
package pdf
