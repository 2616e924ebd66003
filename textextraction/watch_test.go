package textextraction

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

// watchedFake is a fake engine with a device.
type watchedFake struct {
	*fakeEngine
	memory backend.MemoryStats
	gpus   []backend.GPU
}

func (f *watchedFake) Memory(context.Context) (backend.MemoryStats, error) { return f.memory, nil }
func (f *watchedFake) GPUs(context.Context) ([]backend.GPU, error)         { return f.gpus, nil }
func (f *watchedFake) Stats() backend.Stats {
	return backend.Stats{Pages: backend.PageStats{Done: 7}}
}

func TestWatch(t *testing.T) {
	f := &watchedFake{
		fakeEngine: &fakeEngine{}, memory: backend.MemoryStats{Used: 3, Source: backend.MemoryPJRT},
		gpus: []backend.GPU{{Name: "NVIDIA A10", Utilization: 9}},
	}
	x := newExtractor(f, settings{})
	m, err := x.Memory(t.Context())
	require.NoError(t, err)
	require.Equal(t, f.memory, m)
	gpus, err := x.GPUs(t.Context())
	require.NoError(t, err)
	require.Equal(t, f.gpus, gpus)
	s, err := x.Stats()
	require.NoError(t, err)
	require.EqualValues(t, 7, s.Pages.Done)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = x.Memory(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, x.Close())
	_, err = x.Memory(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = x.GPUs(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = x.Stats()
	require.ErrorIs(t, err, ErrClosed)

	x = newExtractor(&fakeEngine{}, settings{})
	_, err = x.Memory(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = x.GPUs(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = x.Stats()
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, x.Close())
}
