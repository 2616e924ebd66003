// Package freeport finds ports for programs that cannot be asked which one they got: those that another process starts, stops and starts
// again at the same address.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports that systems give to outgoing connections, and to whoever listens at port 0, begin at 32768 (Linux) or 49152 (macOS, Windows). One
// of those, once let go of, may be anybody's before the program listens there; one below is taken only by who asks for its number.
const (
	first = 10_000
	end   = 32_768
)

var (
	mu   sync.Mutex
	used = map[int]bool{}
)

// Address returns an address of the loopback interface where nothing listens, "127.0.0.1:12345", and never the same one twice in a process.
func Address() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	var last error
	for range 100 {
		port := first + rand.IntN(end-first)
		if used[port] {
			continue
		}
		used[port] = true
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", address) //nolint:noctx // on the loopback interface it waits for nothing
		if err == nil {
			return address, l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("freeport: no free port in [%d, %d): %w", first, end, last)
}
