package backend_test

import (
	"context"
	"fmt"
	"log"

	"github.com/omnidocs/omnidocs/backend"
)

// The memory of a device before anything is loaded onto it.
func ExampleDevice_Memory() {
	ctx := context.Background()
	dev, err := backend.Open(ctx, "go")
	if err != nil {
		log.Fatal(err)
	}
	defer dev.Close()
	m, err := dev.Memory(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Used > 0, m.Reserved >= m.Used)
	// Output: true true
}

// The same once a model is loaded. Engine.GPUs adds the names and the utilization of NVIDIA GPUs.
func ExampleEngine_Memory() {
	ctx := context.Background()
	engine, err := backend.Load(ctx, backend.LoadOptions{Model: "omnidocs/tiny", Device: "go"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	m, err := engine.Memory(ctx)
	if err != nil {
		log.Fatal(err)
	}
	gpus, err := engine.GPUs(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Used > 0, len(gpus))
	// Output: true 0
}
