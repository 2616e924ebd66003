package hub_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/omnidocs/omnidocs/internal/hub"
)

func ExampleResolve() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // only an example
	got, err := hub.Resolve(context.Background(), hub.Source{Model: dir})
	fmt.Println(got == dir, err)

	_, err = hub.Resolve(context.Background(), hub.Source{Model: "Qwen/Qwen3-VL-2B-Instruct", CacheDir: dir, Offline: true})
	fmt.Println(errors.Is(err, hub.ErrOffline))
	// Output:
	// true <nil>
	// true
}
