package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/omnidocs/omnidocs/omnidocs/internal/atomicfile"
)

const (
	suffix     = ".journal"
	lockSuffix = ".lock"
	mostOwn    = 1 << 16 // journals open at the same time
)

// segment is a file of a journal. One Journal at a time appends to it, which holds the lock beside it.
type segment struct {
	path    string
	file    *os.File
	lock    *flock.Flock // nil: it is another's
	read    int64        // up to where it has been read: whole lines
	running map[Key]kind // what has begun in it and not ended
}

func (s *segment) close() error {
	err := s.file.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Unlock())
	}
	return err
}

// takeOwn takes the first file that nobody appends to: a new one, or that of a process that has died.
func (j *Journal) takeOwn() error {
	for n := 1; n <= mostOwn; n++ {
		path := filepath.Join(j.dir, fmt.Sprintf("%04d%s", n, suffix))
		lock := flock.New(path + lockSuffix)
		ok, err := lock.TryLock()
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return errors.Join(err, lock.Unlock())
		}
		j.own = &segment{path: path, file: file, lock: lock, running: map[Key]kind{}}
		if err := errors.Join(j.adopt(j.own), atomicfile.SyncDir(j.dir)); err != nil {
			return errors.Join(err, j.own.close())
		}
		j.synced = j.own.read
		return nil
	}
	return fmt.Errorf("%d journals are open in it", mostOwn)
}

// adopt reads a segment whose lock is held, cuts off what its process could not write to the end, and counts what it had begun.
func (j *Journal) adopt(s *segment) error {
	if err := j.scan(s); err != nil {
		return err
	}
	if err := s.file.Truncate(s.read); err != nil {
		return err
	}
	for key, k := range s.running {
		if err := j.write(s, record{died, key, []byte(k)}); err != nil {
			return err
		}
	}
	return nil
}

// Refresh reads what other processes have written since, and counts what those had begun that have died since.
func (j *Journal) Refresh() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(j.dir, entry.Name())
		if filepath.Ext(path) != suffix || path == j.own.path {
			continue
		}
		if err := j.refresh(path); err != nil {
			return fmt.Errorf("journal: %s: %w", path, err)
		}
	}
	return nil
}

// refresh reads on in the file of another.
func (j *Journal) refresh(path string) error {
	s := j.others[path]
	if s == nil {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		s = &segment{path: path, file: file, running: map[Key]kind{}}
		j.others[path] = s
	}
	if err := j.scan(s); err != nil {
		return err
	}
	if len(s.running) == 0 {
		return nil
	}
	lock := flock.New(path + lockSuffix)
	dead, err := lock.TryLock()
	if err != nil || !dead {
		return err
	}
	return errors.Join(j.adopt(s), lock.Unlock())
}

// scan reads the lines of a segment that have not been read yet. The last may be cut short: it is left for the next time.
func (j *Journal) scan(s *segment) error {
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(s.file, s.read, size-s.read), 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		at, length := s.read, len(line)-1
		s.read += int64(len(line))
		if length == 0 {
			continue
		}
		if r, err := parse(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			j.damaged++
		} else {
			j.note(s, r, at, length)
		}
	}
}

// append adds records to the Journal's own file, all or none, and returns where they end in it.
func (j *Journal) append(records ...record) (upTo int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return 0, ErrClosed
	}
	if err := j.write(j.own, records...); err != nil {
		return 0, fmt.Errorf("journal: write: %w", err)
	}
	return j.own.read, nil
}

// write appends records to a segment whose lock is held.
func (j *Journal) write(s *segment, records ...record) error {
	var lines [][]byte
	for _, r := range records {
		lines = append(lines, r.line())
	}
	if _, err := s.file.WriteAt(bytes.Join(lines, nil), s.read); err != nil {
		// A full disk takes part of it. The next record is written over that; a crash before leaves a line that is cut short.
		return errors.Join(err, s.file.Truncate(s.read))
	}
	for i, r := range records {
		j.note(s, r, s.read, len(lines[i])-1)
		s.read += int64(len(lines[i]))
	}
	return nil
}

// sync waits until the own file is on the disk up to the offset given. Those who wait at the same time wait for one and the same.
func (j *Journal) sync(upTo int64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= upTo {
		return nil
	}
	j.mu.Lock()
	if j.closed { // and so on the disk
		j.mu.Unlock()
		return nil
	}
	written := j.own.read
	j.mu.Unlock()
	if err := j.own.file.Sync(); err != nil {
		return fmt.Errorf("journal: write: %w", err)
	}
	j.synced = written
	return nil
}
