package bpe

import "math"

// merge is what becomes of a pair of neighbors: lower ranks are merged first.
type merge struct {
	rank uint32
	id   int32
}

const noRank = math.MaxUint32

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// symbol is one token of a piece while it is being merged, linked to its neighbors by index (-1: none).
type symbol struct {
	id         int32
	prev, next int32
	pair       merge // with the symbol after it; rank noRank where the two do not merge, or where this one is gone
}

// workspace is the memory of one Encode call, kept for the next.
type workspace struct {
	ends    []int32
	symbols []symbol
	heap    rankHeap
}

// release keeps w for later calls, unless an unusually long text has made it large.
func (t *Tokenizer) release(w *workspace) {
	const keep = 1 << 16
	if cap(w.symbols) > keep || cap(w.heap) > keep || cap(w.ends) > 16*keep {
		w = &workspace{}
	}
	t.pool.Put(w)
}

func (t *Tokenizer) pair(left, right int32) merge {
	if m, ok := t.merges[pairKey(left, right)]; ok {
		return m
	}
	return merge{rank: noRank}
}

// mergePiece appends the ids of one piece: starting from single bytes, the pair of lowest rank is merged, the
// leftmost among equals, until no pair is left. A heap of pairs makes that O(n log n) in the bytes of the piece.
func (t *Tokenizer) mergePiece(ids []int32, piece string, w *workspace) []int32 {
	if t.ignoreMerges {
		if id, ok := t.ids[spell(piece)]; ok {
			return append(ids, id)
		}
	}
	n := len(piece)
	if cap(w.symbols) < n {
		w.symbols = make([]symbol, n, n+n/2)
	}
	s := w.symbols[:n]
	for i := range s {
		s[i] = symbol{id: t.byteID[piece[i]], prev: int32(i - 1), next: int32(i + 1), pair: merge{rank: noRank}}
	}
	s[n-1].next = -1
	heap := w.heap[:0]
	for i := range n - 1 {
		s[i].pair = t.pair(s[i].id, s[i+1].id)
		heap.push(s[i].pair.rank, int32(i))
	}
	for len(heap) > 0 {
		rank, i := heap.pop()
		a := &s[i]
		if a.pair.rank != rank {
			continue // the pair has changed since it was put on the heap
		}
		b := &s[a.next]
		a.id, a.next = a.pair.id, b.next
		b.pair.rank = noRank
		a.pair.rank = noRank
		if a.next >= 0 {
			s[a.next].prev = i
			a.pair = t.pair(a.id, s[a.next].id)
			heap.push(a.pair.rank, i)
		}
		if a.prev >= 0 {
			p := &s[a.prev]
			p.pair = t.pair(p.id, a.id)
			heap.push(p.pair.rank, a.prev)
		}
	}
	w.heap = heap
	for i := int32(0); i >= 0; i = s[i].next {
		ids = append(ids, s[i].id)
	}
	return ids
}

// rankHeap is a binary heap of rank << 32 | position, smallest first.
type rankHeap []uint64

func (h *rankHeap) push(rank uint32, pos int32) {
	if rank == noRank {
		return
	}
	*h = append(*h, uint64(rank)<<32|uint64(uint32(pos)))
	q := *h
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent] <= q[i] {
			break
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
}

func (h *rankHeap) pop() (rank uint32, pos int32) {
	q := *h
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	*h = q
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q[child+1] < q[child] {
			child++
		}
		if q[i] <= q[child] {
			break
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
	return uint32(top >> 32), int32(uint32(top))
}
