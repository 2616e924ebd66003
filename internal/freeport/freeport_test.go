package freeport

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		address, err := Address()
		require.NoError(t, err)
		require.False(t, seen[address], address)
		seen[address] = true
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		require.NoError(t, err)
		require.Less(t, l.Addr().(*net.TCPAddr).Port, end) //nolint:errcheck // it is one
		require.NoError(t, l.Close())
	}
}
