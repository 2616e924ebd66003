package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// The vocabulary and the merges are 99 % of a file of 11 MB. They are read by hand, and found by hand, because
// encoding/json goes over everything several times; it still reads all the small parts.

type vocab struct {
	ids map[string]int32
	max int32
}

// readVocab reads {"token": id, …}.
func readVocab(data json.RawMessage) (vocab, error) {
	b, ok := after(data, '{')
	if !ok {
		return vocab{}, fmt.Errorf("an object is wanted where there is %.20q", b)
	}
	type entry struct{ start, end, id int32 }
	entries := make([]entry, 0, len(data)/20)
	text := make([]byte, 0, len(data)/2)
	var buf []byte
	var err error
	for len(b) > 0 && b[0] != '}' {
		if buf, b, err = quoted(b, buf); err != nil {
			return vocab{}, err
		}
		if b, ok = after(b, ':'); !ok {
			return vocab{}, fmt.Errorf("no id for %q", buf)
		}
		id, n := 0, 0
		for n < len(b) && b[n] >= '0' && b[n] <= '9' && id < maxID {
			id = 10*id + int(b[n]-'0')
			n++
		}
		if n == 0 || id >= maxID || bytes.IndexByte([]byte(",} \t\r\n"), b[n]) < 0 {
			return vocab{}, fmt.Errorf("%q: the id %.20q is not a whole number between 0 and %d", buf, b, maxID-1)
		}
		b, _ = after(b[n:], ',')
		start := int32(len(text))
		text = append(text, buf...)
		entries = append(entries, entry{start, int32(len(text)), int32(id)})
	}
	if len(entries) == 0 {
		return vocab{}, errors.New("empty")
	}
	v := vocab{ids: make(map[string]int32, len(entries)+64)}
	all := string(text)
	for _, e := range entries {
		v.ids[all[e.start:e.end]] = e.id
		v.max = max(v.max, e.id)
	}
	if most := 4*len(entries) + 1024; int(v.max) > most {
		return vocab{}, fmt.Errorf("id %d is out of place among %d tokens", v.max, len(entries))
	}
	return v, nil
}

// readMerges reads ["a b", …] or [["a", "b"], …], lowest rank first.
func readMerges(data json.RawMessage, ids map[string]int32) (map[uint64]merge, error) {
	b, ok := after(data, '[')
	if !ok {
		return nil, fmt.Errorf("a list is wanted where there is %.20q", b)
	}
	merges := make(map[uint64]merge, len(data)/24)
	var left, right, joined []byte
	var err error
	for rank := uint32(0); len(b) > 0 && b[0] != ']'; rank++ {
		if inner, ok := after(b, '['); ok {
			if left, b, err = quoted(inner, left); err != nil {
				return nil, err
			}
			if b, ok = after(b, ','); !ok {
				return nil, fmt.Errorf("rank %d: a pair is wanted", rank)
			}
			if right, b, err = quoted(b, right); err != nil {
				return nil, err
			}
			if b, ok = after(b, ']'); !ok {
				return nil, fmt.Errorf("rank %d: a pair is wanted", rank)
			}
		} else {
			if left, b, err = quoted(b, left); err != nil {
				return nil, err
			}
			space := bytes.IndexByte(left, ' ')
			if space < 0 || bytes.IndexByte(left[space+1:], ' ') >= 0 {
				return nil, fmt.Errorf("rank %d: %q is not two tokens with one space between them", rank, left)
			}
			right = append(right[:0], left[space+1:]...)
			left = left[:space]
		}
		b, _ = after(b, ',')
		joined = append(append(joined[:0], left...), right...)
		l, okLeft := ids[string(left)]
		r, okRight := ids[string(right)]
		id, okJoined := ids[string(joined)]
		if !okLeft || !okRight || !okJoined {
			return nil, fmt.Errorf("rank %d: %q and %q make %q, and not all three are in the vocabulary", rank, left, right, joined)
		}
		merges[pairKey(l, r)] = merge{rank, id} // of a pair given twice the last rank counts, as in the reference
	}
	return merges, nil
}
