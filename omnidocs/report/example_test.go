package report_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/report"
	"github.com/omnidocs/omnidocs/textextraction"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	doc := &jobs.DocumentResult{SourcePath: "letter.pdf", PageCount: 1}
	doc.AddPageResult(0, textextraction.NewExtractResult("# Hello", textextraction.Markdown))
	var batch jobs.BatchResult // as jobs.ProcessDirectory returns it
	batch.Add("letter", doc)
	path, err := report.Write(context.Background(), dir, &batch, report.Options{Title: "Letters", CostPerHour: 1.10})
	fmt.Println(filepath.Base(path), err)
	// Output: report.html <nil>
}
