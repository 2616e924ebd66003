package bpe

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is what the pre-tokenizers ask of a character; the zero class is every other one.
type class uint8

const (
	classLetter class = 1 << iota // \p{L}
	classNumber                   // \p{N}
	classMark                     // \p{M}
	classSpace                    // \s
)

// The characters that Unicode 15.1 and 16.0 added. The reference's regular expressions know them (Oniguruma 6.9.10),
// Go's tables stop at 15.0.
var (
	newLetters = [][2]rune{
		{0x1c89, 0x1c8a}, {0xa7cb, 0xa7cd}, {0xa7da, 0xa7dc}, {0x105c0, 0x105f3}, {0x10d4a, 0x10d65}, {0x10d6f, 0x10d85},
		{0x10ec2, 0x10ec4}, {0x11380, 0x11389}, {0x1138b, 0x1138b}, {0x1138e, 0x1138e}, {0x11390, 0x113b5}, {0x113b7, 0x113b7},
		{0x113d1, 0x113d1}, {0x113d3, 0x113d3}, {0x11bc0, 0x11be0}, {0x13460, 0x143fa}, {0x16100, 0x1611d}, {0x16d40, 0x16d6c},
		{0x18cff, 0x18cff}, {0x1e5d0, 0x1e5ed}, {0x1e5f0, 0x1e5f0}, {0x2ebf0, 0x2ee5d},
	}
	newNumbers = [][2]rune{
		{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9}, {0x16130, 0x16139}, {0x16d70, 0x16d79}, {0x1ccf0, 0x1ccf9},
		{0x1e5f1, 0x1e5fa},
	}
	newMarks = [][2]rune{
		{0x897, 0x897}, {0x10d69, 0x10d6d}, {0x10efc, 0x10efc}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5},
		{0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2}, {0x113e1, 0x113e2}, {0x11f5a, 0x11f5a}, {0x1611e, 0x1612f},
		{0x1e5ee, 0x1e5ef},
	}
)

// tabled is where the table of classes ends; above it there are only ideographs and a few marks.
const tabled = 0x20000

// classes is the class of every character below tabled.
var classes = sync.OnceValue(func() *[tabled]class {
	var t [tabled]class
	for _, of := range []struct {
		class class
		table *unicode.RangeTable
		more  [][2]rune
	}{
		{classLetter, unicode.L, newLetters}, {classNumber, unicode.N, newNumbers},
		{classMark, unicode.M, newMarks}, {classSpace, unicode.White_Space, nil},
	} {
		set := func(lo, hi, stride rune) {
			for r := lo; r <= hi && r < tabled; r += stride {
				t[r] |= of.class
			}
		}
		for _, r := range of.table.R16 {
			set(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range of.table.R32 {
			set(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range of.more {
			set(r[0], r[1], 1)
		}
	}
	return &t
})

// classAt returns the class of the character at text[i] and the offset after it.
func classAt(text string, i int) (class, int) {
	if b := text[i]; b < utf8.RuneSelf {
		return asciiClass[b], i + 1
	}
	r, size := utf8.DecodeRuneInString(text[i:])
	if r < tabled {
		return classes()[r], i + size
	}
	if unicode.Is(unicode.L, r) || r >= 0x2ebf0 && r <= 0x2ee5d {
		return classLetter, i + size
	}
	if unicode.Is(unicode.M, r) { // variation selectors
		return classMark, i + size
	}
	return 0, i + size
}

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for r := range t {
		switch r := rune(r); {
		case unicode.IsLetter(r):
			t[r] = classLetter
		case unicode.IsDigit(r):
			t[r] = classNumber
		case unicode.IsSpace(r):
			t[r] = classSpace
		}
	}
	return t
}()
