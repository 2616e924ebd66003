package backend

import (
	"runtime"

	"github.com/gomlx/compute/support"
	"golang.org/x/sys/cpu"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/qwen"
)

// Runtime says how a model's graphs are best written for the device. The choices are measured ones; see [qwen.Traits].
func (d *Device) Runtime() qwen.Runtime {
	// A plan may be for a device that is not there: those that are the CPU share its memory.
	r := qwen.Runtime{Backend: d.backend, HostCache: d.IsCPU() && (d.backend == nil || d.HasSharedBuffers())}
	if d.compile != nil {
		r.Compile = d.compile.Run
	}
	cores := runtime.GOMAXPROCS(0)
	switch d.kind {
	case KindGo:
		r.ExactShapes = true // nothing is compiled
		r.HostStep, r.HostPrompt = r.HostCache, r.HostCache
		r.Workers, r.StripeLimit, r.StripeRows = cores, 256, 704
		// Its pools have buffers of these sizes.
		r.Round = func(bytes int64) int64 { return int64(support.TwoBitBucketLen(int(bytes))) }
		r.MatrixElements = 4<<20 - 1 // up to here a product with one row needs no packing of the matrix
	case KindXLACPU:
		r.Traits.MulReduce = true
		r.StripeLimit, r.StripeRows = 704, 704 // what larger ones make falls out of the processor's caches
		r.Traits.SwapRows = 64
		r.Traits.LeastHalf, r.Traits.LeastInt8 = 4, 2
		if hasAMX() {
			r.Traits.SwapNarrow = 64
		}
		r.Traits.HalfAccumulator = true
		r.Traits.HalfAttention, r.Traits.Int8Dot = true, true
		r.HalfCache = true
		// XLA's own code for the products of a few rows reads its weights at a quarter of what memory gives.
		r.HostStep = r.HostCache && hostmath.HasVectors()
	default:
		r.StripeLimit, r.StripeRows = 1<<14, 1<<13 // a call costs more than memory does
		r.Traits.HalfAttention, r.Traits.Flash, r.Traits.HalfInt8 = true, true, true
		r.HalfCache = true
		r.ImagesTogether = 4
		r.LoopTokens = 32 // few enough that a canceled page is soon noticed
	}
	return r
}

// hasAMX says whether the processor multiplies tiles of bfloat16 and int8 (Intel's from Sapphire Rapids on), which XLA's kernels then use.
func hasAMX() bool { return cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && cpu.X86.HasAMXInt8 }
