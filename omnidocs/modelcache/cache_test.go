package modelcache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modelcache"
)

// model is a fake one that knows whether it was closed.
type model struct {
	name   string
	closed atomic.Int32
}

func (m *model) Close() error {
	if m.closed.Add(1) > 1 {
		return errors.New("closed twice")
	}
	return nil
}

func loader(name string) func(context.Context) (*model, error) {
	return func(context.Context) (*model, error) { return &model{name: name}, nil }
}

func load(t *testing.T, c *modelcache.Cache, key string) *modelcache.Ref[*model] {
	t.Helper()
	ref, err := modelcache.Load(t.Context(), c, key, loader(key))
	require.NoError(t, err)
	return ref
}

func TestLoadShares(t *testing.T) {
	c := modelcache.New(modelcache.Config{})
	a, b := load(t, c, "a"), load(t, c, "a")
	require.Same(t, a.Value, b.Value)
	require.Equal(t, 2, c.Info().Entries["a"].RefCount)
	require.NoError(t, a.Release())
	require.NoError(t, a.Release(), "releasing twice counts once")
	require.Equal(t, 1, c.Info().Entries["a"].RefCount)
	require.NoError(t, b.Release())
	got, ok := modelcache.Get[*model](c, "a")
	require.True(t, ok, "it stays when nobody uses it")
	require.Same(t, a.Value, got.Value)
	require.NoError(t, got.Release())
	require.Zero(t, a.Value.closed.Load())
	_, ok = modelcache.Get[*model](c, "b")
	require.False(t, ok)

	there, err := c.Remove("a")
	require.NoError(t, err)
	require.True(t, there)
	require.EqualValues(t, 1, a.Value.closed.Load())
	there, err = c.Remove("a")
	require.NoError(t, err)
	require.False(t, there)
}

func TestEviction(t *testing.T) {
	c := modelcache.New(modelcache.Config{MaxEntries: 2})
	a, b := load(t, c, "a"), load(t, c, "b")
	require.NoError(t, b.Release())
	d := load(t, c, "d")
	require.Equal(t, []string{"a", "d"}, c.Info().Keys, "b was used later than a, but nobody uses it")
	require.EqualValues(t, 1, b.Value.closed.Load())

	// All are in use, and there is one more: Python raises KeyError.
	e := load(t, c, "e")
	require.Equal(t, []string{"d", "e"}, c.Info().Keys)
	require.Zero(t, a.Value.closed.Load(), "a is still used")
	again := load(t, c, "a")
	require.NotSame(t, a.Value, again.Value)
	require.NoError(t, a.Release())
	require.EqualValues(t, 1, a.Value.closed.Load())

	n, err := c.Clear()
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for _, ref := range []*modelcache.Ref[*model]{d, e, again} {
		require.Zero(t, ref.Value.closed.Load())
		require.NoError(t, ref.Release())
		require.EqualValues(t, 1, ref.Value.closed.Load())
	}
}

func TestEvictOldest(t *testing.T) {
	c := modelcache.New(modelcache.Config{MaxEntries: 2, EvictOldest: true})
	a, b := load(t, c, "a"), load(t, c, "b")
	require.NoError(t, b.Release())
	d := load(t, c, "d")
	require.Equal(t, []string{"b", "d"}, c.Info().Keys)
	require.NoError(t, a.Release())
	require.EqualValues(t, 1, a.Value.closed.Load())
	require.NoError(t, d.Release())

	require.NoError(t, c.SetConfig(modelcache.Config{MaxEntries: 1}))
	require.Equal(t, []string{"d"}, c.Info().Keys)
	require.EqualValues(t, 1, b.Value.closed.Load())
	require.NoError(t, c.SetConfig(modelcache.Config{MaxEntries: -1}))
	for i := range 30 {
		load(t, c, fmt.Sprint(i))
	}
	require.Equal(t, 31, c.Info().NumEntries)
}

func TestInfo(t *testing.T) {
	c := modelcache.New(modelcache.Config{})
	load(t, c, "a")
	data, err := json.Marshal(c.Info())
	require.NoError(t, err)
	for _, name := range []string{`"num_entries":1`, `"max_entries":10`, `"keys":["a"]`, `"ref_count":1`, `"access_count":1`, `"age_seconds":`} {
		require.Contains(t, string(data), name)
	}
}

// One loads, the others wait for it; and a slow loading of one model keeps nobody from another.
func TestLoadOnce(t *testing.T) {
	c := modelcache.New(modelcache.Config{})
	var loads atomic.Int32
	release := make(chan struct{})
	slow := func(context.Context) (*model, error) { //nolint:unparam // as a loader is
		loads.Add(1)
		<-release
		return &model{}, nil
	}
	var wg sync.WaitGroup
	refs := make([]*modelcache.Ref[*model], 8)
	for i := range refs {
		wg.Go(func() {
			ref, err := modelcache.Load(t.Context(), c, "slow", slow)
			if err != nil {
				t.Error(err)
			}
			refs[i] = ref
		})
	}
	load(t, c, "quick") // while the other loads
	close(release)
	wg.Wait()
	require.EqualValues(t, 1, loads.Load())
	for _, ref := range refs {
		require.Same(t, refs[0].Value, ref.Value)
	}
}

// The one who began gives up, and the loading goes on for those who wait; when all have, it ends.
func TestLoadIsCanceledByAll(t *testing.T) {
	c := modelcache.New(modelcache.Config{})
	began, ended := make(chan struct{}), make(chan struct{})
	release := make(chan struct{})
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	slow := func(ctx context.Context) (*model, error) {
		close(began)
		defer close(ended)
		select {
		case <-release:
			return &model{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	errs := make(chan error, 2)
	for _, ctx := range []context.Context{first, second} {
		go func() {
			_, err := modelcache.Load(ctx, c, "x", slow)
			errs <- err
		}()
		<-began
	}
	require.Eventually(t, func() bool { return c.Info().Entries["x"].RefCount == 2 }, time.Minute, time.Millisecond)
	cancelFirst()
	require.ErrorIs(t, <-errs, context.Canceled)
	select {
	case <-ended:
		t.Fatal("the second still waits for it")
	default:
	}
	cancelSecond()
	require.ErrorIs(t, <-errs, context.Canceled)
	<-ended
	require.Zero(t, c.Info().NumEntries)
	load(t, c, "x")
}

func TestLoadFails(t *testing.T) {
	c := modelcache.New(modelcache.Config{})
	broken := errors.New("no such model")
	_, err := modelcache.Load(t.Context(), c, "x", func(context.Context) (*model, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
	require.Zero(t, c.Info().NumEntries)
	ref := load(t, c, "x")
	require.Equal(t, "x", ref.Value.name)
	_, err = modelcache.Load(t.Context(), c, "x", func(context.Context) (*other, error) { return &other{}, nil })
	require.ErrorIs(t, err, modelcache.ErrType)
	require.Equal(t, 1, c.Info().Entries["x"].RefCount)
}

type other struct{}

func (*other) Close() error { return nil }

// Many use few models at once, with evictions all the time: each is closed once, and never while it is used.
func TestManyUsers(t *testing.T) {
	c := modelcache.New(modelcache.Config{MaxEntries: 2})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 200 {
				key := fmt.Sprint((g + n*n) % 5)
				ref, err := modelcache.Load(t.Context(), c, key, loader(key))
				if err != nil || ref.Value.name != key || ref.Value.closed.Load() != 0 {
					t.Errorf("%s: %v", key, err)
					return
				}
				if err := ref.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 2, c.Info().NumEntries)
}
