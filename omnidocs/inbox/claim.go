package inbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// claim is a file that this worker has claimed: the only file in a folder of its own.
type claim struct {
	dir, name string
}

func (c claim) path() string { return filepath.Join(c.dir, c.name) }

const mostWorkers = 1 << 16

// enter makes this process a worker: it takes the first number whose lock is free. What it finds there was a dead one's.
func (b *Inbox) enter() error {
	for n := 1; n <= mostWorkers; n++ {
		dir := b.path(".omnidocs", "workers", strconv.Itoa(n))
		lock := flock.New(dir + ".lock")
		ok, err := lock.TryLock()
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errors.Join(err, lock.Unlock())
		}
		b.lock, b.own = lock, dir
		return nil
	}
	return fmt.Errorf("%d workers are at it", mostWorkers)
}

// takeOver takes over what dead workers had claimed, and what this one has left from before.
func (b *Inbox) takeOver() ([]claim, error) {
	workers := b.path(".omnidocs", "workers")
	entries, err := os.ReadDir(workers)
	if err != nil {
		return nil, err
	}
	var died bool
	for _, entry := range entries {
		dir := filepath.Join(workers, entry.Name())
		if !entry.IsDir() || dir == b.own {
			continue
		}
		lock := flock.New(dir + ".lock")
		dead, err := lock.TryLock()
		if err != nil {
			return nil, err
		}
		if dead {
			died = true
			if err := errors.Join(b.inherit(dir), lock.Unlock()); err != nil {
				return nil, err
			}
		}
	}
	if died {
		if err := b.journal.Refresh(); err != nil {
			return nil, err
		}
	}
	return b.leftovers()
}

// inherit moves the claims of a dead worker into the own folder.
func (b *Inbox) inherit(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		free, err := b.newFolder()
		if err != nil {
			return err
		}
		if err := os.Remove(free); err != nil { // Windows lets no folder take the place of another
			return err
		}
		if err := os.Rename(filepath.Join(dir, entry.Name()), free); err != nil {
			return err
		}
	}
	return nil
}

// leftovers are the claims in the own folder, none of which is being read.
func (b *Inbox) leftovers() ([]claim, error) {
	folders, err := os.ReadDir(b.own)
	if err != nil {
		return nil, err
	}
	var left []claim
	for _, folder := range folders {
		dir := filepath.Join(b.own, folder.Name())
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 { // it was moved away, or never moved here
			if err := os.Remove(dir); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			left = append(left, claim{dir, file.Name()})
		}
	}
	return left, nil
}

// newFolder makes an empty folder for a claim.
func (b *Inbox) newFolder() (string, error) {
	for {
		b.mu.Lock()
		b.claimed++
		n := b.claimed
		b.mu.Unlock()
		dir := filepath.Join(b.own, strconv.Itoa(n))
		err := os.Mkdir(dir, 0o755)
		if err == nil || !errors.Is(err, os.ErrExist) {
			return dir, err
		}
	}
}

// claim takes a file out of the inbox. The error matches fs.ErrNotExist if another worker has it.
func (b *Inbox) claim(name string) (claim, error) {
	dir, err := b.newFolder()
	if err != nil {
		return claim{}, err
	}
	c := claim{dir, name}
	if err := os.Rename(b.path("inbox", name), c.path()); err != nil {
		return claim{}, errors.Join(err, os.Remove(dir))
	}
	return c, nil
}

// numbered is a name with a number before its extension; number 1 is the name itself.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	extension := filepath.Ext(name)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, extension), n, extension)
}
