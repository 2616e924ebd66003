package qwen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
)

// BenchmarkTinyStep is a token of the embedded model, whose matrices are small: what a step costs beside its products shows here.
//
//	OMNIDOCS_DEVICE=go go test ./qwen -run '^$' -bench TinyStep
func BenchmarkTinyStep(b *testing.B) {
	device := openDevice(b)
	m, err := qwen.Load(b.Context(), device.Runtime(), tiny.FS(), qwen.LoadOptions{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, m.Close()) })
	benchmarkStep(b, m, 4096, []int{1200})
	for _, c := range m.ProgramStats() {
		b.Logf("%8.1f us x %d %s", float64(c.CallTime.Microseconds())/float64(c.Calls), c.Calls, c.Name)
	}
}
