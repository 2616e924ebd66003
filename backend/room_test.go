package backend

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is made ahead for pages that wait counts against the cache and the page, and is made only where there is room beside them.
func TestRoomAhead(t *testing.T) {
	r := newRoom(100, nil)
	r.cache = 30
	require.NoError(t, r.enter(context.Background(), 40, false))
	require.False(t, r.reserve(31))
	require.True(t, r.reserve(30))
	r.keeps(0)

	entered := make(chan error)
	go func() { entered <- r.enter(context.Background(), 50, false) }()
	select {
	case <-entered:
		require.Fail(t, "30 + 30 + 50 are more than 100")
	default:
	}
	r.release(10)
	require.NoError(t, <-entered)
	require.True(t, newRoom(0, nil).reserve(1<<40), "no limit")
}
