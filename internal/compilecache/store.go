package compilecache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Store is a folder with compiled programs, a file each. Several processes may share it; they must be of one user, since what is in
// the files is run: files that are not the user's own, or that others may write, are not read.
type Store struct {
	dir   string
	limit int64
	log   *slog.Logger

	mu      sync.Mutex // held while files are removed
	unkept  sync.Once  // tells that programs are not kept
	skipped sync.Once  // tells that files are not read
}

// key stands for a program and all that it was compiled for and with.
type key [sha256.Size]byte

const (
	// magic begins a file. It changes with the format.
	magic = "omnidocs XLA 1\n\x00"
	// suffix ends the names of files, partial those of files that are being written.
	suffix  = ".xla"
	partial = ".partial"
	// abandoned is the age at which a file that is being written no longer is.
	abandoned = time.Hour
)

// OpenStore makes the folder, if there is none, for at most limit bytes of programs, of which those go first that have not been used
// for the longest time. The logger hears of files that are bad; nil is silence.
func OpenStore(dir string, limit int64, log *slog.Logger) (*Store, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("compilecache: %s is not an absolute path", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compilecache: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{dir: dir, limit: limit, log: log}, nil
}

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(k key) string { return filepath.Join(s.dir, hex.EncodeToString(k[:])+suffix) }

// sum is what a file says of its program: it holds for the key too, so that a file under another's name is found out.
func (k key) sum(program []byte) []byte {
	h := sha256.New()
	h.Write(k[:])
	h.Write(program)
	return h.Sum(nil)
}

// get returns a program, or nil. What is there and bad is removed.
func (s *Store) get(k key) []byte {
	data, err := s.read(k)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errNotOwn):
		s.skipped.Do(func() { s.log.Warn("compiled programs are not read", "error", err) })
		return nil
	case err != nil:
		s.drop(k, err)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(s.path(k), now, now) // where it fails, the program is only thought older than it is
	return data
}

var errNotOwn = errors.New("the file is another user's, or others may write it")

func (s *Store) read(k key) (_ []byte, err error) {
	file, err := os.Open(s.path(k))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !own(info) {
		return nil, fmt.Errorf("%s: %w", file.Name(), errNotOwn)
	}
	if info.Size() > s.limit {
		return nil, fmt.Errorf("it has %d bytes, the cache is for %d", info.Size(), s.limit)
	}
	var data bytes.Buffer
	data.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := data.ReadFrom(file); err != nil {
		return nil, err
	}
	head, program := data.Bytes(), []byte(nil)
	if len(head) > len(magic)+sha256.Size {
		head, program = head[:len(magic)+sha256.Size], head[len(magic)+sha256.Size:]
	}
	if !bytes.Equal(head, append([]byte(magic), k.sum(program)...)) {
		return nil, errors.New("it is not what was written")
	}
	return program, nil
}

// drop removes a file that is of no use.
func (s *Store) drop(k key, why error) {
	s.log.Warn("a compiled program is of no use and compiled anew", "file", s.path(k), "error", why)
	_ = os.Remove(s.path(k)) // it is written over otherwise
}

// put keeps a program. Whoever reads sees all of it or nothing.
func (s *Store) put(k key, program []byte) {
	err := s.write(k, program)
	if err != nil {
		s.unkept.Do(func() { s.log.Warn("compiled programs are not kept", "folder", s.dir, "error", err) })
		return
	}
	if err := s.trim(); err != nil {
		s.log.Warn("the folder of compiled programs is not kept within its limit", "folder", s.dir, "error", err)
	}
}

func (s *Store) write(k key, program []byte) (err error) {
	if n := int64(len(magic) + sha256.Size + len(program)); n > s.limit {
		return fmt.Errorf("a program has %d bytes, the cache is for %d", n, s.limit)
	}
	file, err := os.CreateTemp(s.dir, "*"+partial) // for its owner alone
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	for _, part := range [][]byte{[]byte(magic), k.sum(program), program} {
		if _, err := file.Write(part); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), s.path(k))
}

// trim removes the programs that have not been used for the longest time, and what processes that were killed have left.
func (s *Store) trim() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case err != nil: // removed meanwhile, by another process
		case strings.HasSuffix(entry.Name(), suffix):
			files = append(files, info)
			total += info.Size()
		case strings.HasSuffix(entry.Name(), partial) && time.Since(info.ModTime()) > abandoned:
			_ = os.Remove(filepath.Join(s.dir, entry.Name())) // the next trim tries again
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range files {
		if total <= s.limit {
			break
		}
		if err := os.Remove(filepath.Join(s.dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= info.Size()
	}
	return nil
}
