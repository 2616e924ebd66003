package table_test

import (
	"fmt"
	"log"

	"github.com/omnidocs/omnidocs/textextraction/table"
)

func ExampleParseLaTeX() {
	t, err := table.ParseLaTeX(`\begin{tabular}{|l|c|c|}
\hline
\multirow{2}{*}{Model} & \multicolumn{2}{c|}{CER} \\ \cline{2-3}
 & dev & test \\ \hline
Qwen3-VL & 1.2\% & $< 2\%$ \\
Chandra & 1.1\% & 1.4\% \\ \hline
\end{tabular}`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.HeaderRows, "rows of head,", t.Columns(), "columns")
	fmt.Println(t.Markdown())
	fmt.Println(t.HTML())
	// Output:
	// 2 rows of head, 3 columns
	// | Model | CER |  |
	// | --- | --- | --- |
	// |  | dev | test |
	// | Qwen3-VL | 1.2% | $< 2\%$ |
	// | Chandra | 1.1% | 1.4% |
	// <table>
	// <thead>
	// <tr><th rowspan="2">Model</th><th colspan="2">CER</th></tr>
	// <tr><th>dev</th><th>test</th></tr>
	// </thead>
	// <tbody>
	// <tr><td>Qwen3-VL</td><td>1.2%</td><td>$&lt; 2\%$</td></tr>
	// <tr><td>Chandra</td><td>1.1%</td><td>1.4%</td></tr>
	// </tbody>
	// </table>
}

func ExampleParseOTSL() {
	t, err := table.ParseOTSL("<ched>Item<ched>Price<nl><fcel>Tea<fcel>2,50<nl><fcel>No milk<lcel><nl>")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(t.CSV())
	// Output:
	// Item,Price
	// Tea,"2,50"
	// No milk,
}
