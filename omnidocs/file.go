package omnidocs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// file is what a document's bytes are in. It opens it as often as it is asked to.
type file func() (opened, error)

// opened is an open file.
type opened struct {
	io.ReaderAt
	size  int64
	close func() error
}

func onDisk(path string) file {
	return func() (opened, error) {
		// Looked at before it is opened: to open a named pipe may take for ever.
		info, err := os.Stat(path)
		if err != nil {
			return opened{}, err
		}
		if !info.Mode().IsRegular() {
			return opened{}, notRegular(info)
		}
		f, err := os.Open(path)
		if err != nil {
			return opened{}, err
		}
		return opened{f, info.Size(), f.Close}, nil
	}
}

func inMemory(data []byte) file {
	return func() (opened, error) {
		return opened{bytes.NewReader(data), int64(len(data)), func() error { return nil }}, nil
	}
}

// inFS is a file of a file system. Where that has no random access, as in a ZIP archive, the file is read into memory,
// once.
func inFS(fsys fs.FS, name string, maxBytes int64) (file, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notRegular(info)
	}
	if _, ok := f.(io.ReaderAt); !ok {
		data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
		if err != nil {
			return nil, err
		}
		if int64(len(data)) > maxBytes {
			return nil, tooManyBytes(maxBytes)
		}
		return inMemory(data), nil
	}
	return func() (opened, error) {
		f, err := fsys.Open(name)
		if err != nil {
			return opened{}, err
		}
		r, ok := f.(io.ReaderAt)
		if !ok {
			return opened{}, fmt.Errorf("%s has become a file without random access", name)
		}
		return opened{r, info.Size(), f.Close}, nil
	}, nil
}

// withFile does something with the open file.
func withFile[T any](f file, do func(r io.ReaderAt, size int64) (T, error)) (result T, err error) {
	open, err := f()
	if err != nil {
		return result, err
	}
	defer func() { _ = open.close() }() // it was only read
	return do(open, open.size)
}

func notRegular(info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("it is a folder; name a file in it, or open it as a DocumentBatch")
	}
	return fmt.Errorf("it is not a regular file: %v", info.Mode())
}

func tooManyBytes(limit int64) error {
	return fmt.Errorf("%w: it has more than %d bytes; raise MaxBytes, or open it as a file", ErrTooLarge, limit)
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
