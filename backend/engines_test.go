package backend_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// reader is an engine, or several.
type reader interface {
	Generate(ctx context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error
	Read(ctx context.Context, r backend.Request) (backend.Output, error)
	Warmup(ctx context.Context) error
	Info() backend.Info
	Stats() backend.Stats
	Close() error
}

// loadOn loads a model on XLA's CPU as several devices, and skips the test where there is none.
func loadOn(t *testing.T, o backend.LoadOptions) (*backend.Engines, error) {
	t.Helper()
	if o.Model == "" {
		o.Model = goldenModel
	}
	o.Device = "xla:cpu"
	e, err := backend.LoadEngines(context.Background(), o)
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	if err == nil {
		t.Cleanup(func() { require.NoError(t, e.Close()) })
	}
	return e, err
}

// Pages are the same whether one device reads them, two that share the model, two engines that have one each, or two engines of two
// devices: alone and in batches.
func TestEnginesReadAlike(t *testing.T) {
	var requests []backend.Request
	img := testPages(t)[2] // one size: programs are compiled for every one, and for each of the engines
	for i := range 6 {
		s := []backend.Sampling{{}, {Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7}}[i/5]
		requests = append(requests, backend.Request{Image: img, Prompt: "qwenvl markdown", MaxNewTokens: 12 + 3*i, Sampling: s})
	}
	var want []backend.Output
	for _, row := range []struct {
		name    string
		o       backend.LoadOptions
		engines int
		where   string
	}{
		{"one device", backend.LoadOptions{}, 1, ""},
		{"two devices", backend.LoadOptions{TensorParallelSize: 2, MaxBatch: 3}, 1, "divided among the devices 0, 1"},
		{"two engines", backend.LoadOptions{DeviceIDs: []int{2, 0}, MaxBatch: 2}, 2, "engine 0, device 2; engine 1"},
		{"two of two", backend.LoadOptions{TensorParallelSize: 2, Devices: 4, MaxBatch: 2}, 2, "engine 1, divided among the devices 2, 3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := loadOn(t, row.o)
			require.NoError(t, err)
			require.Equal(t, row.engines, e.Len())
			require.Contains(t, e.Info().Description, row.where)
			requests := requests
			if row.engines > 1 { // drawing takes long to compile
				requests = requests[:5]
			}
			got := make([]backend.Output, len(requests))
			require.NoError(t, e.Generate(t.Context(), requests, func(i int, out backend.Output, err error) {
				require.NoError(t, err)
				got[i] = out
			}))
			if want == nil {
				want = got
			}
			for i := range requests {
				require.Equal(t, want[i].Tokens, got[i].Tokens, "page %d", i)
				require.Equal(t, want[i].Finish, got[i].Finish)
			}
			s := e.Stats()
			require.EqualValues(t, len(requests), s.Pages.Done)
			require.EqualValues(t, row.engines*max(1, row.o.MaxBatch), s.Slots.Total)
			require.Equal(t, s.Pages.Done, s.PageTime.Count)
			require.GreaterOrEqual(t, s.PageTime.Max, s.PageTime.P50)
			require.Positive(t, s.PageTime.Last)
			require.Positive(t, s.Memory.Used)
			var generated int64
			for _, one := range e.Each() {
				require.Positive(t, one.Pages.Done, "each engine has read some")
				require.LessOrEqual(t, s.Memory.Used, 2*one.Memory.Used, "the memory of one process is not added up")
				generated += one.Tokens.Generated
			}
			require.Equal(t, generated, s.Tokens.Generated)
			require.NoError(t, e.Close())
			_, err = e.Read(t.Context(), requests[0])
			require.ErrorIs(t, err, backend.ErrClosed)
		})
	}
}

// A model that cannot be divided so is refused, by all engines with one error, and Load refuses what is more than one engine.
func TestEnginesRefuse(t *testing.T) {
	_, err := loadOn(t, backend.LoadOptions{Model: "omnidocs/tiny", TensorParallelSize: 2, Devices: 4})
	require.ErrorIs(t, err, qwen.ErrUnsupported)
	require.ErrorContains(t, err, "text_config.num_key_value_heads is 3, which 2 does not divide")
	require.ErrorContains(t, err, "sizes that would do: 1)")

	_, err = backend.Load(t.Context(), backend.LoadOptions{Model: goldenModel, Device: "xla:cpu", TensorParallelSize: 2, Devices: 4})
	require.ErrorContains(t, err, "4 devices for a model on each 2 of them make 2 engines, which LoadEngines loads")
}

// Progress is that of all engines together.
func TestEnginesProgress(t *testing.T) {
	var mu sync.Mutex
	var last int64
	events := 0
	_, err := loadOn(t, backend.LoadOptions{
		Model: filepath.Join("..", "qwen", "testdata", "golden", "qwen3_vl_tied"), Devices: 2,
		Progress: func(p backend.LoadProgress) {
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, "weights", p.Stage)
			require.Greater(t, p.Done, last)
			require.LessOrEqual(t, p.Done, p.Total)
			last = p.Done
			if events++; p.Done == p.Total {
				last = 0
			}
		},
	})
	require.NoError(t, err)
	require.Positive(t, events)
	require.Zero(t, last, "all of it was told")
}

var (
	_ reader = (*backend.Engine)(nil)
	_ reader = (*backend.Engines)(nil)
)
