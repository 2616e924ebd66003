package imageproc

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// blocksPerWorker splits the rows finer than the workers are many, so that a worker which the system held up does not
// keep the others waiting, and so that cancellation is seen soon.
const blocksPerWorker = 4

// ParallelRows calls work on blocks of rows [lo, hi) that cover [0, rows), each row once, from up to GOMAXPROCS
// goroutines. cost is the work of one row in samples; little work runs on the caller's goroutine alone. The context is
// checked before each block: when it is canceled the remaining blocks are left out and its error is returned.
func ParallelRows(ctx context.Context, rows, cost int, work func(lo, hi int)) error {
	const samplesPerWorker = 1 << 15 // below this, starting a goroutine costs more than it gives
	workers := min(runtime.GOMAXPROCS(0), rows*max(cost, 1)/samplesPerWorker+1, max(rows, 1))
	block := max(1, (rows+workers*blocksPerWorker-1)/(workers*blocksPerWorker))
	var next atomic.Int64
	run := func() {
		for ctx.Err() == nil {
			hi := int(next.Add(int64(block)))
			lo := hi - block
			if lo >= rows {
				return
			}
			work(lo, min(hi, rows))
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(run)
	}
	run()
	wg.Wait()
	return ctx.Err()
}
