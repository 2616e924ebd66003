package hostmath

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// forkCost is the work, in multiplications, below which a second core costs more than it saves: waking it takes some microseconds.
const forkCost = 1 << 15

// Parallel calls f with runs of 0…n that together are all of it, on as many cores as there are, where each of the n costs so many
// multiplications. It returns when all calls have.
func Parallel(n, cost int, f func(from, to int)) {
	workers := min(runtime.GOMAXPROCS(0), n, n*cost/forkCost)
	if workers <= 1 {
		f(0, n)
		return
	}
	chunks := min(n, 4*workers) // more than workers, so that one that is held up leaves its share to the others
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < chunks; i = int(next.Add(1)) - 1 {
			f(i*n/chunks, (i+1)*n/chunks)
		}
	}
	var running sync.WaitGroup
	for range workers - 1 {
		running.Go(work)
	}
	work()
	running.Wait()
}
