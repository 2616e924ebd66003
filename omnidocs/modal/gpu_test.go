package modal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
)

func TestParseGPU(t *testing.T) {
	for in, want := range map[string]string{
		"A10G:1": "A10:1", "A10G": "A10:1", "a10:4": "A10:4", "H100:2": "H100:2", "H100!:8": "H100!:8", " T4 ": "T4:1",
		"A100-80GB:8": "A100-80GB:8", "none": "", "None": "",
	} {
		g, err := modal.ParseGPU(in)
		require.NoError(t, err, in)
		require.Equal(t, want, g.String(), in)
	}
	for in, want := range map[string]string{
		"A40":     "Modal has no A40",
		"":        "Modal has no ",
		"A10G:5":  "at most 4 of A10",
		"H100:0":  `"0" is no number of GPUs`,
		"H100:x":  `"X" is no number of GPUs`,
		"H100:":   `"" is no number of GPUs`,
		"none:1":  "Modal has no NONE",
		"T4:1:1":  `"1:1" is no number of GPUs`,
		"H100:-1": `"-1" is no number of GPUs`,
	} {
		_, err := modal.ParseGPU(in)
		require.ErrorIs(t, err, modal.ErrConfig, in)
		require.ErrorContains(t, err, want, in)
	}
}

func ExampleParseGPU() {
	gpu, err := modal.ParseGPU("A10G:2")
	fmt.Println(gpu, gpu.Count, err)
	_, err = modal.ParseGPU("A10G:8")
	fmt.Println(err)
	// Output:
	// A10:2 2 <nil>
	// modal: config: the GPU "A10G:8": a container has at most 4 of A10
}
