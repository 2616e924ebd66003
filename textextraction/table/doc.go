// Package table has the tables of pages: rows of cells that may span several rows and columns, read from what models write
// (HTML, LaTeX's tabular, OTSL, Markdown) and written as HTML, Markdown, CSV and JSON.
//
//	t, err := table.ParseLaTeX(answer)
//	if err != nil {
//		return err
//	}
//	fmt.Println(t.Markdown())
//
// A table that was read is sound, whatever the source: see [New].
package table
