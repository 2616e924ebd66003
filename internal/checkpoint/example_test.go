package checkpoint_test

import (
	"bytes"
	"context"
	"fmt"
	"testing/fstest"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

func Example() {
	var file bytes.Buffer
	err := checkpoint.Write(&file, checkpoint.Float32("lm_head.weight", []float32{1, 2, 3, 4, 5, 6}, 2, 3))
	if err != nil {
		fmt.Println(err)
		return
	}
	ckpt, err := checkpoint.Open(fstest.MapFS{"model.safetensors": {Data: file.Bytes()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ckpt.Close() //nolint:errcheck // it was only read
	for _, t := range ckpt.Tensors() {
		dst := make([]float32, t.Elements())
		err := ckpt.ReadFloat32(context.Background(), t.Name, dst, checkpoint.ReadOptions{})
		fmt.Println(t.Name, t.DType, t.Shape, dst, err)
	}
	// Output: lm_head.weight F32 [2 3] [1 2 3 4 5 6] <nil>
}
