package backend_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/omnidocs/omnidocs/backend"
)

func ExampleOpen() {
	dev, err := backend.Open(context.Background(), "go")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer dev.Close()
	fmt.Println(dev.Name(), dev.IsXLA())
	// Output: go false
}

// A device asked for by name is never replaced by another: the error says what is missing.
func ExampleOpen_unavailable() {
	_, err := backend.Open(context.Background(), "mps")
	fmt.Println(errors.Is(err, backend.ErrUnavailable))
	fmt.Println(err)
	// Output:
	// true
	// backend: device "mps": device unavailable: there is no support for mps here; use "cuda", "cpu" or "go"
}
