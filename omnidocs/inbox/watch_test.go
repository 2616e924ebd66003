package inbox

import (
	"context"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

// wait is a guard against hanging, no measure.
const wait = time.Minute

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(wait):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	drop(t, dir, "before.png", 1)
	b := open(t, dir, &fake{})
	ended := make(chan string, 10)
	b.opts.OnFile = func(r Result) { ended <- r.FileName }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx) }()
	require.Equal(t, "before.png", receive(t, ended))
	drop(t, dir, "one.png", 2)
	require.Equal(t, "one.png", receive(t, ended))
	drop(t, dir, "two.png", 3)
	require.Equal(t, "two.png", receive(t, ended))
	cancel()
	require.NoError(t, receive(t, done))
}

func TestWatchClosed(t *testing.T) {
	dir := t.TempDir()
	drop(t, dir, "a.png", 1)
	b := open(t, dir, &fake{do: func(context.Context, int) error { return textextraction.ErrClosed }})
	require.ErrorIs(t, b.Watch(t.Context()), textextraction.ErrClosed)
}

// TestSchedule lets two days pass in Auckland.
func TestSchedule(t *testing.T) {
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Skipf("no time zones: %v", err)
	}
	dir := t.TempDir()
	b := open(t, dir, &fake{})
	clock := clockwork.NewFakeClockAt(time.Date(2026, 1, 10, 12, 0, 0, 0, auckland))
	passes := make(chan Summary, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- b.Schedule(ctx, Schedule{
			Cron: "30 2 * * *", Location: auckland, clock: clock,
			Done: func(s Summary, err error) {
				if err != nil {
					t.Error(err)
				}
				passes <- s
			},
		})
	}()
	block := func() { require.NoError(t, clock.BlockUntilContext(t.Context(), 1)) }
	block()
	clock.Advance(14*time.Hour + 29*time.Minute) // 02:29
	require.Empty(t, passes)
	drop(t, dir, "a.png", 1)
	clock.Advance(time.Minute)
	require.Equal(t, 1, receive(t, passes).Processed)
	block()
	drop(t, dir, "b.png", 2)
	clock.Advance(24 * time.Hour)
	require.Equal(t, 1, receive(t, passes).Processed)
	cancel()
	require.NoError(t, receive(t, done))

	require.ErrorContains(t, b.Schedule(t.Context(), Schedule{Cron: "nonsense"}), "nonsense")
}
