package checkpoint

import (
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// shard is one open safetensors file.
type shard struct {
	io.ReaderAt
	io.Closer
	size int64
	// sequential says that reading out of order is slow.
	sequential bool
}

// openShard opens a file for reading at any offset.
func openShard(fsys fs.FS, file string) (*shard, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder, not a safetensors file", file)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if r, ok := f.(io.ReaderAt); ok {
		return &shard{ReaderAt: r, Closer: f, size: info.Size()}, nil
	}
	s := &sequentialFile{fsys: fsys, name: file, file: f}
	return &shard{ReaderAt: s, Closer: s, size: info.Size(), sequential: true}, nil
}

// sequentialFile gives a file that can only be read from front to back a
// ReadAt, by skipping forward or opening it anew.
type sequentialFile struct {
	fsys fs.FS
	name string

	mu     sync.Mutex
	file   fs.File // nil once closed
	offset int64
}

// ReadAt implements [io.ReaderAt].
func (s *sequentialFile) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return 0, fs.ErrClosed
	}
	if off < s.offset {
		f, err := s.fsys.Open(s.name)
		if err != nil {
			return 0, err
		}
		_ = s.file.Close() // it was only read
		s.file, s.offset = f, 0
	}
	skipped, err := io.CopyN(io.Discard, s.file, off-s.offset)
	s.offset += skipped
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.file, p)
	s.offset += int64(n)
	return n, err
}

// Close implements [io.Closer].
func (s *sequentialFile) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
