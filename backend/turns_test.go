package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/program"
)

// What a step takes beside its calls to the device, to compile for example, is no time for the admission.
func TestTurnsCountCalls(t *testing.T) {
	turns := newTurns()
	turns.setWriting(true)
	turns.setAdmitting(true)
	turns.write(share(8, 8), func(program.Pacer) { time.Sleep(20 * time.Millisecond) })
	require.LessOrEqual(t, turns.credit, time.Duration(1))
	turns.write(share(8, 8), func(calls program.Pacer) { calls.Pace(func() { time.Sleep(20 * time.Millisecond) }) })
	require.GreaterOrEqual(t, turns.credit, 20*time.Millisecond)
}

// The admission gets as many times a step's time as it is told.
func TestTurnsShares(t *testing.T) {
	turns := newTurns()
	turns.setWriting(true)
	turns.setAdmitting(true)
	turns.write(share(8, 8), func(calls program.Pacer) { calls.Pace(func() { time.Sleep(20 * time.Millisecond) }) })
	require.GreaterOrEqual(t, turns.credit, 80*time.Millisecond)
}

// The fewer of the slots are in use, the more an admission gets, up to a bound; it never gets less than when all but one are.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		pages, slots int
		want         time.Duration
	}{{1, 1, 4}, {1, 2, 8}, {7, 8, 4}, {6, 8, 5}, {4, 8, 8}, {2, 8, 16}, {1, 8, 16}, {1, 256, 16}, {200, 256, 5}, {0, 8, 0}} {
		require.Equal(t, c.want, share(c.pages, c.slots), "%d pages, %d slots", c.pages, c.slots)
	}
}

// Writers wait for the calls of an admission whose turn it is, and not for what it does between them.
func TestTurnsOfAnAdmissionThatCompiles(t *testing.T) {
	turns := newTurns()
	turns.setWriting(true)
	turns.setAdmitting(true)
	turns.credit = time.Hour
	calling, called := make(chan struct{}), make(chan struct{})
	var order []string
	go func() {
		defer close(called)
		turns.Pace(func() {
			close(calling)
			time.Sleep(20 * time.Millisecond)
			order = append(order, "call")
		})
	}()
	<-calling
	turns.write(share(8, 8), func(program.Pacer) { order = append(order, "step") })
	<-called
	require.Equal(t, []string{"call", "step"}, order)

	turns.credit = time.Hour // and no call is there: this would wait for ever
	turns.write(share(8, 8), func(program.Pacer) { order = append(order, "step") })
	require.Len(t, order, 3)
}

// An admission that has had its time waits for the next step.
func TestTurnsOfTheWriters(t *testing.T) {
	turns := newTurns()
	turns.setWriting(true)
	turns.setAdmitting(true)
	var order []string
	called := make(chan struct{})
	turns.write(share(8, 8), func(program.Pacer) {
		go func() {
			turns.Pace(func() { order = append(order, "call") })
			close(called)
		}()
		time.Sleep(20 * time.Millisecond) // long enough for it to call, were it not for its turn
		order = append(order, "step")
	})
	<-called
	require.Equal(t, []string{"step", "call"}, order)
}
