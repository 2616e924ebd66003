package bpe

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// The combining marks that Unicode 10 to 15 added. The reference's normalizer (tokenizers 0.23) has the tables of
// Unicode 9: to it they are characters of their own, which nothing moves across or joins with.
var unmoved = [][2]rune{
	{0x7fd, 0x7fd}, {0x898, 0x89f}, {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c}, {0xeba, 0xeba},
	{0x1715, 0x1715}, {0x1abf, 0x1ace}, {0x1df6, 0x1dfa}, {0xa82c, 0xa82c}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac},
	{0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
	{0x11839, 0x1183a}, {0x11930, 0x11930}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34},
	{0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42},
	{0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
}

func isUnmoved(r rune) bool {
	if r < unmoved[0][0] {
		return false
	}
	_, found := slices.BinarySearchFunc(unmoved, r, func(e [2]rune, r rune) int {
		switch {
		case e[1] < r:
			return -1
		case e[0] > r:
			return 1
		}
		return 0
	})
	return found
}

// nfc returns text in normalization form C, as the reference has it.
func nfc(text string) string {
	if norm.NFC.IsNormalString(text) {
		return text // and the reference, which moves less, leaves it alone too
	}
	var b strings.Builder
	b.Grow(len(text))
	start := 0
	for i, r := range text {
		if isUnmoved(r) {
			b.WriteString(nfcPart(text[start:i]))
			b.WriteRune(r)
			start = i + len(string(r))
		}
	}
	b.WriteString(nfcPart(text[start:]))
	return b.String()
}

// nfcPart is normalization form C without the exceptions of unmoved.
//
// golang.org/x/text breaks runs of more than 30 combining characters with a U+034F (Unicode's stream-safe format),
// and the reference does not. Text with a long run is therefore composed here, by the definition.
func nfcPart(text string) string {
	run := 0
	for _, r := range text {
		if r < 0x300 {
			run = 0
			continue
		}
		p := norm.NFD.PropertiesString(string(r))
		if p.CCC() == 0 && p.LeadCCC() == 0 {
			run = 0
			continue
		}
		if run++; run > 6 { // each is at most four after decomposition, and a letter before them one and three
			return compose(decompose(text))
		}
	}
	return norm.NFC.String(text)
}

// decompose returns text's canonical decomposition in canonical order.
func decompose(text string) []rune {
	var out []rune
	for _, r := range text {
		out = append(out, []rune(norm.NFD.String(string(r)))...)
	}
	for i := 0; i < len(out); {
		j := i
		for j < len(out) && combining(out[j]) != 0 {
			j++
		}
		slices.SortStableFunc(out[i:j], func(a, b rune) int { return int(combining(a)) - int(combining(b)) })
		i = max(j, i+1)
	}
	return out
}

// compose joins each starter with the characters after it that are not blocked (Unicode 15, D117).
func compose(d []rune) string {
	out := make([]rune, 0, len(d))
	starter := -1
	var last uint8 // combining class of what stands between the starter and the character at hand
	for _, r := range d {
		ccc := combining(r)
		if starter >= 0 && (starter == len(out)-1 || last < ccc) {
			if c := []rune(norm.NFC.String(string([]rune{out[starter], r}))); len(c) == 1 {
				out[starter] = c[0]
				continue
			}
		}
		if ccc == 0 {
			starter = len(out)
		}
		last = ccc
		out = append(out, r)
	}
	return string(out)
}

func combining(r rune) uint8 {
	if r < 0x300 {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}
