package omnidocs

import "time"

// SourceType says where a document came from.
type SourceType string

// The kinds of source, as in Python.
const (
	SourceFile  SourceType = "file"
	SourceURL   SourceType = "url"
	SourceBytes SourceType = "bytes"
	SourceImage SourceType = "image"
)

// DocumentMetadata describes a document. In JSON it has Python's names.
type DocumentMetadata struct {
	// SourceType says where the document came from.
	SourceType SourceType `json:"source_type"`
	// SourcePath is the absolute path of the file, or the URL; "" if there is neither.
	SourcePath string `json:"source_path,omitzero"`
	// FileName is the last part of the path or URL, or the name that was given; for several pictures "3_images".
	FileName string `json:"file_name"`
	// FileSize is in bytes; of several pictures, in all. It is 0 for pictures that were never files.
	FileSize int64 `json:"file_size"`
	// PDFMetadata is what a PDF says of itself: Title, Author, Subject, Keywords, Creator, Producer, CreationDate, ModDate;
	// those that are there.
	PDFMetadata map[string]string `json:"pdf_metadata,omitzero"`
	// PageCount is the number of pages, of the range that was chosen.
	PageCount int `json:"page_count"`
	// Format is "pdf", "png", "jpg", "gif", "webp", "bmp", "tiff" or, for several pictures, "images".
	Format string `json:"format"`
	// ImageDPI is the resolution at which pages are rendered, if the document is a PDF.
	ImageDPI int `json:"image_dpi,omitzero"`
	// ImageFormat is the pages' colors: always "RGB".
	ImageFormat string `json:"image_format"`
	// TextExtractionEngine is what [Document.Text] comes from: "pdfium", or "none" where there is no text. (Python has
	// "pypdfium2" or "pdfplumber".)
	TextExtractionEngine string `json:"text_extraction_engine"`
	// LoadedAt is when the document was opened.
	LoadedAt time.Time `json:"loaded_at"`
}
