package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
)

// kind is what a record says of its key.
type kind string

const (
	begin kind = "begin" // it is about to be read, beside others
	alone kind = "alone" // it is about to be read, and nothing else is
	end   kind = "end"   // it was left without a result
	put   kind = "put"   // its result follows
	also  kind = "also"  // it is another name of the key that follows
	died  kind = "died"  // its reader died, which had begun it; what follows is "begin" or "alone"
)

// record is a line of a journal's file: checksum, kind, key, and what the kind wants further. Its data has no line breaks.
type record struct {
	kind kind
	key  Key
	data []byte
}

var (
	table     = crc32.MakeTable(crc32.Castagnoli)
	errDamage = errors.New("the checksum does not match")
)

// line writes a record with its line break.
func (r record) line() []byte {
	var b bytes.Buffer
	b.Grow(8 + 1 + 5 + 1 + 64 + 1 + len(r.data) + 1)
	b.WriteString("00000000 ")
	b.WriteString(string(r.kind))
	b.WriteByte(' ')
	b.WriteString(r.key.String())
	b.WriteByte(' ')
	b.Write(r.data)
	line := b.Bytes()
	copy(line, checksum(line[8:]))
	return append(line, '\n')
}

// parse reads a line without its line break. The record's data is part of the line.
func parse(line []byte) (record, error) {
	if len(line) < 9 || line[8] != ' ' {
		return record{}, errDamage
	}
	if string(line[:8]) != checksum(line[8:]) {
		return record{}, errDamage
	}
	parts := bytes.SplitN(line[9:], []byte(" "), 3)
	if len(parts) != 3 {
		return record{}, errors.New("a record has less than three parts")
	}
	key, err := ParseKey(string(parts[1]))
	if err != nil {
		return record{}, err
	}
	return record{kind(parts[0]), key, parts[2]}, nil
}

func checksum(rest []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(rest, table)) }
