package hostmath

import "unsafe"

// GatedDelta is a token's step of the gated delta rule (transformers' torch_recurrent_gated_delta_rule; Yang, Kautz, Hatamizadeh: "Gated
// Delta Networks", 2024) in one head, in place: the state S [len(k), len(v)] forgets, S ← decay·S, then what it says of the token's key is
// corrected, S ← S + k·(rate·(v − kᵀS))ᵀ, and qᵀS is read into out, as wide as v. What is read is worked out before S is touched, so that S
// is gone through twice and not four times. Len(v) is a multiple of [ColumnMultiple].
func GatedDelta(out, state, q, k, v []float32, decay, rate float32, room *DeltaRoom) {
	n := len(v)
	if cap(room.x) < 2*len(k) {
		room.x = make([]float32, 2*len(k))
	}
	if cap(room.read) < 2*n {
		room.read = make([]float32, 2*n)
	}
	both := rows[float32]{room.x[:2*len(k)], len(k)}
	copy(both.flat, k)
	copy(both.flat[len(k):], q)
	columnProducts(rows[float32]{room.read[:2*n], n}, rows[float32]{state, n}, both, 2, len(k), n)
	known, read := room.read[:n], room.read[n:2*n]
	match := dot(q, k)
	for i, value := range v {
		fresh := rate * (value - decay*known[i])
		known[i] = fresh
		out[i] = decay*read[i] + match*fresh
	}
	if vectors != nil {
		vectors.outer(unsafe.SliceData(state), len(k), n, unsafe.SliceData(k), unsafe.SliceData(known), decay)
		return
	}
	for i, key := range k {
		row := state[i*n:][:n]
		for j, fresh := range known {
			row[j] = decay*row[j] + key*fresh
		}
	}
}

// DeltaRoom is room for what [GatedDelta] works out. The zero value is ready.
type DeltaRoom struct{ x, read []float32 }
