// Package atomicfile writes files that are there whole or not at all, whenever the process or the power ends.
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write puts data into the file at path, in the place of what was there. It is written in the folder tmp first, which must be on the
// same file system, and then renamed. A process that is killed in between leaves a file in tmp, and path as it was.
// A file that holds the same data already is left as it is. The folder of path is made if it is not there.
func Write(path, tmp string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if same(path, data) {
		return nil
	}
	written, err := Temp(tmp, data)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(written, path); err != nil {
		return errors.Join(err, os.Remove(written))
	}
	return SyncDir(filepath.Dir(path))
}

// Temp puts data into a new file in the folder tmp, waits until it is on the disk, and returns its path.
func Temp(tmp string, data []byte) (path string, err error) {
	f, err := os.CreateTemp(tmp, "*.tmp")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// same says whether a file holds data.
func same(path string, data []byte) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(data)) {
		return false
	}
	got, err := os.ReadFile(path)
	return err == nil && bytes.Equal(got, data)
}
