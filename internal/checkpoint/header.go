package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxHeader is the format's own limit on the header (safetensors,
	// MAX_HEADER_SIZE). The index of a sharded checkpoint is held to it too.
	maxHeader = 100_000_000
	// maxRank keeps a shape from being a list of millions of numbers; numpy
	// and torch allow 64 dimensions.
	maxRank = 64
)

// Tensor describes one stored tensor. Shape must not be modified.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	// File is the name of the safetensors file in the checkpoint's folder.
	File string
	// Offset is where the elements begin, in bytes from the start of File.
	Offset int64
	// Bytes is the stored size.
	Bytes int64
}

// Elements returns the product of the shape, 1 for a scalar.
func (t Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// readHeader reads and checks the header of the safetensors file named file,
// which r holds in size bytes. The tensors come in the order of their offsets.
func readHeader(file string, r io.ReaderAt, size int64) ([]Tensor, error) {
	data, err := headerBytes(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	tensors, err := parseHeader(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	start := int64(8 + len(data))
	if err := checkLayout(tensors, size-start); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range tensors {
		tensors[i].File = file
		tensors[i].Offset += start
	}
	return tensors, nil
}

// headerBytes returns the JSON text of the header.
func headerBytes(r io.ReaderAt, size int64) ([]byte, error) {
	if size < 8 {
		return nil, fmt.Errorf("not a safetensors file: it has %d bytes, its header alone needs more; download it again", size)
	}
	var prefix [8]byte
	if err := readFullAt(r, prefix[:], 0); err != nil {
		return nil, fmt.Errorf("read the length of the header: %w", err)
	}
	if string(prefix[:]) == "version " {
		return nil, errors.New("this is a Git LFS pointer, not the weights; run: git lfs pull")
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return nil, fmt.Errorf("not a safetensors file: it claims a header of %d bytes, the format allows %d", length, maxHeader)
	}
	if have := uint64(size) - 8; length > have {
		return nil, fmt.Errorf("truncated: its header has %d bytes, %d of them are missing; download it again", length, length-have)
	}
	// ReadAll grows with what is really there, whatever the length claims.
	data, err := io.ReadAll(io.NewSectionReader(r, 8, int64(length)))
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if uint64(len(data)) != length {
		return nil, fmt.Errorf("read the header: %w", io.ErrUnexpectedEOF)
	}
	if len(data) == 0 || data[0] != '{' {
		return nil, errors.New("not a safetensors file: its header is not a JSON object")
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not a safetensors file: its header is not UTF-8")
	}
	return data, nil
}

// parseHeader parses the JSON of a header. Offsets are still relative to the
// end of the header, and unchecked but for being natural numbers.
func parseHeader(data []byte) ([]Tensor, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tensors []Tensor
	seen := map[string]bool{}
	err := eachKey(dec, func(name string) error {
		if seen[name] {
			return fmt.Errorf("the header names %q twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			var metadata map[string]string
			if err := dec.Decode(&metadata); err != nil {
				return fmt.Errorf("__metadata__: %w", err)
			}
			return nil
		}
		t, err := parseTensor(dec)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		t.Name = name
		tensors = append(tensors, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bad header: %w", err)
	}
	if rest := bytes.TrimLeft(data[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("bad header: %d bytes after the end of its JSON", len(rest))
	}
	return tensors, nil
}

// parseTensor parses one entry of the header: dtype, shape and data_offsets,
// each exactly once, nothing else.
func parseTensor(dec *json.Decoder) (Tensor, error) {
	var t Tensor
	var shape, offsets []int64
	seen := map[string]bool{}
	err := eachKey(dec, func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			var token json.Token
			if token, err = dec.Token(); err != nil {
				return err
			}
			name, _ := token.(string) //nolint:errcheck // "" is refused as an unknown type
			t.DType = DType(name)
			if t.DType.Bits() == 0 {
				return fmt.Errorf("unknown dtype %v", quoted(token))
			}
		case "shape":
			shape, err = naturals(dec, key)
		case "data_offsets":
			offsets, err = naturals(dec, key)
		default:
			return fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return t, fmt.Errorf("%s is missing", key)
		}
	}
	if len(offsets) != 2 {
		return t, fmt.Errorf("data_offsets has %d numbers, not 2", len(offsets))
	}
	if offsets[0] > offsets[1] {
		return t, fmt.Errorf("data_offsets %v run backwards", offsets)
	}
	t.Offset, t.Bytes = offsets[0], offsets[1]-offsets[0]
	return t, t.setShape(shape)
}

// setShape takes the shape over after checking that it fills t.Bytes exactly.
func (t *Tensor) setShape(shape []int64) error {
	total := uint64(t.DType.Bits())
	t.Shape = make([]int, len(shape))
	for i, d := range shape {
		hi, lo := bits.Mul64(total, uint64(d))
		if hi != 0 || lo > math.MaxInt64 || d > math.MaxInt {
			return fmt.Errorf("shape %v of %s overflows", shape, t.DType)
		}
		total = lo
		t.Shape[i] = int(d)
	}
	if total%8 != 0 {
		return fmt.Errorf("shape %v of %s ends inside a byte", shape, t.DType)
	}
	if want := int64(total / 8); want != t.Bytes {
		return fmt.Errorf("shape %v of %s needs %d bytes, data_offsets span %d", shape, t.DType, want, t.Bytes)
	}
	return nil
}

// checkLayout sorts the tensors by offset and checks that they cover the
// dataSize bytes after the header: no overlap, no hole, nothing left over.
func checkLayout(tensors []Tensor, dataSize int64) error {
	slices.SortFunc(tensors, func(a, b Tensor) int {
		// By size too: an empty tensor goes before the one that begins there.
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bytes, b.Bytes), cmp.Compare(a.Name, b.Name))
	})
	var end int64
	for i, t := range tensors {
		switch {
		case t.Offset < end:
			return fmt.Errorf("bad header: tensors %q and %q overlap by %d bytes", tensors[i-1].Name, t.Name, end-t.Offset)
		case t.Offset > end:
			return fmt.Errorf("bad header: %d bytes before tensor %q belong to no tensor", t.Offset-end, t.Name)
		}
		end += t.Bytes
	}
	switch {
	case end > dataSize:
		return fmt.Errorf("truncated: its tensors need %d bytes, %d of them are missing; download it again", end, end-dataSize)
	case end < dataSize:
		return fmt.Errorf("bad header: the last %d bytes of the file belong to no tensor", dataSize-end)
	}
	return nil
}

// eachKey reads an object from dec and calls f after each key; f reads the
// value.
func eachKey(dec *json.Decoder, f func(key string) error) error {
	token, err := dec.Token()
	if err != nil {
		return jsonError(err)
	}
	if token != json.Delim('{') {
		return fmt.Errorf("%v where an object should be", quoted(token))
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return jsonError(err)
		}
		if err := f(fmt.Sprint(key)); err != nil {
			return jsonError(err)
		}
	}
	_, err = dec.Token()
	return jsonError(err)
}

// naturals reads an array of at most maxRank integers from 0 to 2^63-1.
func naturals(dec *json.Decoder, key string) ([]int64, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('[') {
		return nil, fmt.Errorf("%s is %v, not an array", key, quoted(token))
	}
	var list []int64
	for dec.More() {
		if token, err = dec.Token(); err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%s holds %v, not an integer", key, quoted(token))
		}
		n, err := number.Int64()
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s holds %s, not an integer from 0 to %d", key, number, int64(math.MaxInt64))
		}
		if len(list) == maxRank {
			return nil, fmt.Errorf("%s has more than %d numbers", key, maxRank)
		}
		list = append(list, n)
	}
	_, err = dec.Token()
	return list, err
}

// quoted renders a JSON token for an error, cut to a readable length.
func quoted(token json.Token) string {
	s, ok := token.(string)
	if !ok {
		s = fmt.Sprint(token)
		if token == nil {
			s = "null"
		}
	}
	const limit = 60
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	if ok {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// jsonError says where the text ended, which the decoder calls just "EOF".
func jsonError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("its JSON ends early")
	}
	return err
}

// readFullAt fills p from r at off.
func readFullAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
