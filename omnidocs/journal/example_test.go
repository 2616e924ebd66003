package journal_test

import (
	"fmt"
	"os"

	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for range 2 { // the second time stands for the next process
		j, err := journal.Open(dir)
		if err != nil {
			fmt.Println(err)
			return
		}
		key := journal.NewKey([]byte("the page's pixels"), []byte("who reads it, and how"))
		text, ok, err := j.Get(key)
		if err == nil && !ok {
			fmt.Println("reading …")
			text = []byte(`"what it says"`)
			err = j.Put(key, text)
		}
		fmt.Println(string(text), err)
		j.Close()
	}
	// Output:
	// reading …
	// "what it says" <nil>
	// "what it says" <nil>
}
