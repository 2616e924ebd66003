package crosscheck_test

import (
	"fmt"

	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
)

func ExampleCompare() {
	layer := "The harbor handled 1,204 ships in the first quarter, more than in the year before."
	read := "The harbor handled **1,264** ships in the first quarter, more than in the year before. The mayor was very pleased indeed."
	r := crosscheck.Compare(read, layer, crosscheck.Options{})
	fmt.Println(r.Suspicious(), r.InventedNumbers, r.MissingNumbers)
	for _, p := range r.Passages {
		fmt.Printf("%s: %s\n", p.Kind, p.Text)
	}
	// Output:
	// true [1,264] [1,204]
	// novel: The mayor was very pleased indeed
}
