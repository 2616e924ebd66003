package qwen_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// The case in this folder was made by testdata/make_case.py from the checkpoint beside it. A case of a large checkpoint lives in a
// folder of its own.
func ExampleVerify() {
	ctx := context.Background()
	device, err := backend.Open(ctx, "go")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	dir := os.DirFS("testdata/golden/qwen3_vl")
	model, err := qwen.Load(ctx, device.Runtime(), dir, qwen.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	c, err := qwen.ReadCase(ctx, dir, "a drawn page")
	if err != nil {
		log.Fatal(err)
	}
	c.Expected.Vision[100] += 0.5 // as if the reference had seen something else
	reports, err := qwen.Verify(ctx, model, []qwen.Case{c}, qwen.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, stage := range reports[0].Stages {
		fmt.Println(stage.Name, stage.OK)
	}
	departs := reports[0].First()
	fmt.Printf("it departs at %s, by %.2f, at visual token %d\n", departs.Name, departs.Max, departs.First/model.Spec.Text.Hidden)
	// Output:
	// pixel_values true
	// image_grid_thw true
	// input_ids true
	// position_ids true
	// vision false
	// deepstack.0 true
	// deepstack.1 true
	// logits true
	// generated true
	// text true
	// it departs at vision, by 0.50, at visual token 3
}
