package qwen_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

func TestSpecHash(t *testing.T) {
	read := func(golden string) qwen.Spec {
		s, err := qwen.ReadSpec(os.DirFS("testdata/golden/" + golden))
		require.NoError(t, err)
		return s
	}
	one := read("qwen3_vl")
	require.Len(t, one.Hash(), 64)
	require.Equal(t, one.Hash(), read("qwen3_vl").Hash())
	require.NotEqual(t, one.Hash(), read("qwen3_vl_tied").Hash())
	require.NotEqual(t, one.Hash(), read("qwen3_5_long").Hash())
	other := one
	other.Text.RopeTheta++
	require.NotEqual(t, one.Hash(), other.Hash())
	other = one
	other.EOS = append([]int32{1}, one.EOS...)
	require.NotEqual(t, one.Hash(), other.Hash())
}
