package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// object cuts a JSON object into its values. A key that is not among known is refused.
func object(data []byte, known []string) (map[string]json.RawMessage, error) {
	b, ok := after(data, '{')
	if len(b) == 0 {
		return nil, errors.New("empty")
	}
	if !ok {
		return nil, fmt.Errorf("an object is wanted where there is %.20q", b)
	}
	values := map[string]json.RawMessage{}
	for {
		if rest, ok := after(b, '}'); ok {
			if len(rest) > 0 {
				return nil, fmt.Errorf("unexpected %.20q after the JSON object", rest)
			}
			return values, nil
		}
		key, rest, err := quoted(b, nil)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(known, string(key)) {
			return nil, fmt.Errorf("unknown key %q", key)
		}
		if b, ok = after(rest, ':'); !ok {
			return nil, fmt.Errorf("no value for %q", key)
		}
		end := skip(b)
		if end < 0 {
			return nil, fmt.Errorf("%q: the JSON ends too early", key)
		}
		values[string(key)] = b[:end:end]
		if b, ok = after(b[end:], ','); !ok && (len(b) == 0 || b[0] != '}') {
			return nil, fmt.Errorf("unexpected %.20q after the value of %q", b, key)
		}
	}
}

// skip returns the end of the JSON value at the start of b, or -1.
func skip(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n < 0 {
				return -1
			}
			i += n
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']', ',':
			if depth == 0 {
				return i // of a number, true, false or null
			}
			if b[i] != ',' {
				depth--
			}
			i++
			if b[i-1] == ',' {
				continue
			}
		default:
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return -1
}

// stringEnd returns the length of the JSON string at the start of b, quotes included, or -1.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// quoted reads the JSON string at the start of b into buf and returns what follows it.
func quoted(b, buf []byte) (text, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, fmt.Errorf("a string is wanted where there is %.20q", b)
	}
	end := stringEnd(b)
	if end < 0 {
		return nil, nil, fmt.Errorf("the string %.20q has no end", b)
	}
	if bytes.IndexByte(b[:end], '\\') < 0 {
		return append(buf[:0], b[1:end-1]...), b[end:], nil
	}
	var s string
	if err := json.Unmarshal(b[:end], &s); err != nil {
		return nil, nil, err
	}
	return append(buf[:0], s...), b[end:], nil
}

// after returns b without white space at its start, and without the character c (and white space) if it is there.
func after(b []byte, c byte) (rest []byte, found bool) {
	b = trim(b)
	if len(b) == 0 || b[0] != c {
		return b, false
	}
	return trim(b[1:]), true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}
