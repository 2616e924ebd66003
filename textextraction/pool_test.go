package textextraction_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/textextractiontest"
)

// scripted is an extractor that does as it is told. It reads the width of a page.
type scripted struct {
	textextraction.TextExtractor // nil: what is not scripted is not called
	read                         func(ctx context.Context) error
	reads, now, most             atomic.Int64
	closes                       atomic.Int64
}

func (s *scripted) ExtractWith(ctx context.Context, img image.Image, _ textextraction.Options) (*textextraction.ExtractResult, error) {
	s.reads.Add(1)
	now := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	if s.read != nil {
		if err := s.read(ctx); err != nil {
			return nil, err
		}
	}
	return textextraction.NewExtractResult(fmt.Sprint(img.Bounds().Dx()), textextraction.Markdown), nil
}

func (s *scripted) Close() error {
	s.closes.Add(1)
	return nil
}

func take(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// widths yields pages of 1 to n pixels.
func widths(n int) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for i := range n {
			if !yield(image.NewGray(image.Rect(0, 0, i+1, 1)), nil) {
				return
			}
		}
	}
}

func onePage() image.Image { return image.NewGray(image.Rect(0, 0, 7, 1)) }

func TestPoolConformance(t *testing.T) {
	pool, err := textextraction.NewPool(textextraction.NewFakeExtractor(t, 1), textextraction.NewFakeExtractor(t, 2), textextraction.NewFakeExtractor(t, 1))
	require.NoError(t, err)
	require.NoError(t, textextractiontest.TestExtractor(t.Context(), pool, textextraction.FakePage()))
}

// Pages go where there is the least to do: a worker that is ten times as fast reads about ten times as much.
func TestPoolLeastInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, fast := &scripted{read: take(10 * time.Second)}, &scripted{read: take(time.Second)}
		pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{MaxInFlight: 2},
			textextraction.Worker{Name: "slow", Extractor: slow}, textextraction.Worker{Name: "fast", Extractor: fast})
		require.NoError(t, err)
		n, of := 0, map[string]int{}
		for r, err := range pool.Batch(t.Context(), widths(220), textextraction.BatchOptions{}) {
			require.NoError(t, err)
			n++
			require.Equal(t, fmt.Sprint(n), r.Content, "in the order of the source")
			of[r.Worker]++
		}
		require.Equal(t, 220, n)
		require.Greater(t, of["fast"], 3*of["slow"])
		require.EqualValues(t, 2, slow.most.Load())
		require.EqualValues(t, 2, fast.most.Load())
		require.NoError(t, pool.Close())
	})
}

// A worker that dies loses no page, gets no more of them, and is readmitted when it is well.
func TestPoolEjectsAndReadmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		var asked atomic.Int64
		sick := &scripted{read: func(ctx context.Context) error {
			if dead.Load() {
				return errors.New("connection refused")
			}
			return take(time.Second)(ctx)
		}}
		well := &scripted{read: take(time.Second)}
		pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{MaxInFlight: 1, EjectAfter: 2},
			textextraction.Worker{Name: "sick", Extractor: sick, Health: func(context.Context) error {
				asked.Add(1)
				if dead.Load() {
					return errors.New("still down")
				}
				return nil
			}},
			textextraction.Worker{Name: "well", Extractor: well})
		require.NoError(t, err)
		read := func(n int) (of map[string]int) {
			of = map[string]int{}
			for r, err := range pool.Batch(t.Context(), widths(n), textextraction.BatchOptions{}) {
				require.NoError(t, err)
				of[r.Worker]++
			}
			return of
		}
		require.Equal(t, 10, read(20)["sick"])
		dead.Store(true)
		require.Equal(t, 20, read(20)["well"])
		require.EqualValues(t, 12, sick.reads.Load(), "ejected after two failures")
		stats := pool.Workers()[0]
		require.Equal(t, textextraction.WorkerStats{Name: "sick", Done: 10, Failed: 2, LastError: "health: still down"}, stats)
		require.EqualValues(t, 4, asked.Load(), "after 1, 3, 7 and 15 seconds")
		dead.Store(false)
		time.Sleep(time.Minute)
		require.Equal(t, 10, read(20)["sick"])
		require.True(t, pool.Workers()[0].Well)
		require.NoError(t, pool.Close())
	})
}

// Without a health check a page tells: one at a time, and another worker reads it if it fails again.
func TestPoolTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &scripted{read: func(context.Context) error { return errors.New("gone") }}
		pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{EjectAfter: 1},
			textextraction.Worker{Extractor: dead}, textextraction.Worker{Extractor: &scripted{read: take(time.Second)}})
		require.NoError(t, err)
		for i := range 100 {
			r, err := pool.Extract(t.Context(), onePage(), textextraction.Markdown)
			require.NoError(t, err, i)
			require.Equal(t, "worker 1", r.Worker)
		}
		// In 100 seconds it is tried at once and after rests of 1, 2, 4, 8, 16 and 32 seconds.
		require.EqualValues(t, 7, dead.reads.Load())
		require.NoError(t, pool.Close())
	})
}

func TestPoolErrors(t *testing.T) {
	gone := errors.New("gone")
	for _, test := range []struct {
		name  string
		err   error
		reads int64 // of all workers
		want  []error
	}{
		{"the worker's", gone, 2, []error{gone}},
		{"the page's", fmt.Errorf("%w: truncated", textextraction.ErrImage), 1, []error{textextraction.ErrImage}},
		{"the caller's", textextraction.ErrConfig, 1, []error{textextraction.ErrConfig}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fail := func(context.Context) error { return test.err }
			a, b := &scripted{read: fail}, &scripted{read: fail}
			pool, err := textextraction.NewPool(a, b)
			require.NoError(t, err)
			_, err = pool.Extract(t.Context(), onePage(), textextraction.Markdown)
			for _, want := range test.want {
				require.ErrorIs(t, err, want)
			}
			require.Equal(t, test.reads, a.reads.Load()+b.reads.Load())
			require.NoError(t, pool.Close())
			require.EqualValues(t, 1, a.closes.Load())
		})
	}
}

// When no worker is well a page waits for one, and not for ever; its context and Close end that.
func TestPoolPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		dead.Store(true)
		x := &scripted{read: func(context.Context) error {
			if dead.Load() {
				return errors.New("loading")
			}
			return nil
		}}
		worker := textextraction.Worker{Extractor: x, Health: func(context.Context) error {
			if dead.Load() {
				return errors.New("down")
			}
			return nil
		}}
		pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{EjectAfter: 1, MaxRest: 10 * time.Second, Patience: time.Minute}, worker)
		require.NoError(t, err)
		extract := func(ctx context.Context) error {
			_, err := pool.Extract(ctx, onePage(), textextraction.Markdown)
			return err
		}
		require.ErrorContains(t, extract(t.Context()), "worker 0: loading")

		start := time.Now()
		err = extract(t.Context())
		require.ErrorIs(t, err, textextraction.ErrNoWorker)
		require.ErrorContains(t, err, "no worker is well after 1m0s\nworker 0: health: down")
		require.Equal(t, time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, extract(ctx), context.DeadlineExceeded)

		time.AfterFunc(30*time.Second, func() { dead.Store(false) })
		require.NoError(t, extract(t.Context()))

		dead.Store(true)
		require.Error(t, extract(t.Context()))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := extract(context.Background()); !errors.Is(err, textextraction.ErrClosed) {
					t.Errorf("%v", err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		require.NoError(t, pool.Close())
		wg.Wait()
		require.ErrorIs(t, extract(t.Context()), textextraction.ErrClosed)
	})
}

// Workers that read alike have one fingerprint.
func TestPoolFingerprint(t *testing.T) {
	one, ok := textextraction.NewFakeExtractor(t, 1).(*textextraction.QwenTextExtractor)
	require.True(t, ok)
	want, err := one.Fingerprint(t.Context(), textextraction.Options{})
	require.NoError(t, err)
	pool, err := textextraction.NewPool(one, textextraction.NewFakeExtractor(t, 2))
	require.NoError(t, err)
	got, err := pool.Fingerprint(t.Context(), textextraction.Options{})
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, pool.Close())
	pool, err = textextraction.NewPool(&scripted{})
	require.NoError(t, err)
	_, err = pool.Fingerprint(t.Context(), textextraction.Options{})
	require.ErrorContains(t, err, "worker 0 has no fingerprint")
}

func TestPoolRefuses(t *testing.T) {
	x := &scripted{}
	for want, workers := range map[string][]textextraction.Worker{
		"Workers: 0 is too few":                   nil,
		`Name: "a" is the name of two workers`:    {{Name: "a", Extractor: x}, {Name: "a", Extractor: x}},
		`Extractor: "worker 0" has none`:          {{}},
		"MaxInFlight: -1 of worker 0 is negative": {{Extractor: x, MaxInFlight: -1}},
	} {
		_, err := textextraction.NewPoolOf(textextraction.PoolOptions{}, workers...)
		require.ErrorIs(t, err, textextraction.ErrConfig)
		require.ErrorContains(t, err, want)
	}
	_, err := textextraction.NewPoolOf(textextraction.PoolOptions{Attempts: -1}, textextraction.Worker{Extractor: x})
	require.ErrorContains(t, err, "Attempts: -1")
}
