package bpe_test

import (
	"fmt"
	"log"
	"os"

	"github.com/omnidocs/omnidocs/internal/bpe"
)

func Example() {
	data, err := os.ReadFile("testdata/golden/tokenizer.json")
	if err != nil {
		log.Fatal(err)
	}
	tok, err := bpe.Load(data)
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("<|im_start|>the end<|im_end|>")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids)
	fmt.Println(tok.Decode(ids, true))
	// Output:
	// [506 83 261 220 448 507]
	// the end
}

func ExampleTokenizer_Stream() {
	data, err := os.ReadFile("testdata/bytes/tokenizer.json")
	if err != nil {
		log.Fatal(err)
	}
	tok, err := bpe.Load(data)
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("é!") // three bytes, each a token here
	if err != nil {
		log.Fatal(err)
	}
	s := tok.Stream(true)
	for _, id := range ids {
		fmt.Printf("%q ", s.Next(id))
	}
	fmt.Printf("%q\n", s.Flush())
	// Output: "" "é" "!" ""
}
