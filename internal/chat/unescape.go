package chat

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unescape is the value of a string literal, by Python's rules.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for len(s) > 0 {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case '\n': // a line that goes on
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case 'x', 'u', 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if len(s) < n {
				return "", fmt.Errorf(`\%c in a string wants %d hexadecimal digits`, c, n)
			}
			v, err := strconv.ParseUint(s[:n], 16, 32)
			if err != nil || !utf8.ValidRune(rune(v)) {
				return "", fmt.Errorf(`\%c%s in a string is not a character`, c, s[:n])
			}
			b.WriteRune(rune(v))
			s = s[n:]
		case '0', '1', '2', '3', '4', '5', '6', '7':
			v, n := rune(c-'0'), 0
			for n < 2 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
				v = 8*v + rune(s[n]-'0')
				n++
			}
			b.WriteRune(v)
			s = s[n:]
		case 'N':
			return "", fmt.Errorf(`\N in a string is not supported`)
		default: // Python keeps what it does not know
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
