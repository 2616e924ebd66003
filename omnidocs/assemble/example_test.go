package assemble_test

import (
	"fmt"

	"github.com/omnidocs/omnidocs/omnidocs/assemble"
)

func ExampleMarkdown() {
	pages := []assemble.Page{
		{Number: 1, Text: "The Book of Weather\n\n# Hail\n\nIt falls in sum-\n\n1"},
		{Number: 2, Text: "The Book of Weather\n\nmer, mostly.\n\n2"},
		{Number: 3, Text: "The Book of Weather\n\n# Snow\n\nIt does not.\n\n3"},
	}
	doc := assemble.Markdown(pages, assemble.Options{DropMargins: true})
	fmt.Println(doc.Text)
	fmt.Println(len(doc.Margins), "lines left out, the first:", doc.Margins[0].Kind, doc.Margins[0].Text)
	// Output:
	// # Hail
	//
	// It falls in summer, mostly.
	//
	// # Snow
	//
	// It does not.
	// 6 lines left out, the first: header The Book of Weather
}
