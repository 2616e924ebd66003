package qwen_test

import (
	"context"
	"fmt"
	"image"
	"testing/fstest"

	"github.com/omnidocs/omnidocs/qwen"
)

func ExampleSmartResize() {
	// An A4 page at 300 dpi, for Qwen3-VL (patches of 16 pixels, merged by twos), with at most 2,048 visual tokens.
	h, w, err := qwen.SmartResize(3508, 2480, 32, 512*32*32, 2048*32*32)
	fmt.Println(h, w, (h/32)*(w/32), err)
	// Output: 1696 1216 2014 <nil>
}

func ExampleProcessor_Process() {
	checkpoint := fstest.MapFS{"preprocessor_config.json": {Data: []byte(`{"patch_size": 16, "merge_size": 2,
		"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
		"size": {"shortest_edge": 65536, "longest_edge": 16777216}}`)}} // usually os.DirFS of a checkpoint's folder
	p, err := qwen.LoadProcessor(checkpoint)
	if err != nil {
		fmt.Println(err)
		return
	}
	page := image.NewGray(image.Rect(0, 0, 1240, 1754)) // A4 at 150 dpi
	patches, err := p.Process(context.Background(), page, p.DocumentBounds())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(patches.Width, patches.Height, patches.Grid(), patches.VisualTokens())

	// Output: 1216 1696 [1 106 76] 2014
}

func ExampleProcessor_Size() {
	p, err := qwen.LoadProcessor(fstest.MapFS{"preprocessor_config.json": {Data: []byte(`{"patch_size": 16}`)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _, err = p.Size(1, 4000, qwen.Bounds{})
	fmt.Println(err)
	// Output: qwen: picture of 1 x 4000 pixels (width x height): one side is 4000 times the other, the models take up to 200 times; cut it into shorter pieces
}
