package bucket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// errTaken is the error of a name that is taken.
var errTaken = errors.New("there is one already")

// link gives what the driver of folders has written to a temporary file the object's name, if that is free. The error is errTaken if it is not.
//
// The driver looks whether there is such a file, and renames its own if not; between the two, others can do the same. A link is made by one alone.
func link(file *os.File) error {
	// "folder/name.1f2e.tmp", or the same in the system's folder for temporary files, of which it cannot be told where it belongs.
	temporary := file.Name()
	target, ok := strings.CutSuffix(temporary, ".tmp")
	end := strings.LastIndexByte(target, '.')
	if filepath.Dir(temporary) == filepath.Clean(os.TempDir()) || !ok || end < 0 {
		return fmt.Errorf("%w: the bucket writes its temporary files elsewhere (%s): open it with fileblob.Options.NoTempDir, or ?no_tmp_dir=1", ErrConfig, temporary)
	}
	// A result is never written again: it must not be there by name alone after a power cut.
	if err := file.Sync(); err != nil {
		return err
	}
	err := os.Link(temporary, target[:end])
	if errors.Is(err, os.ErrExist) {
		return errTaken
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w (does this file system have hard links? they make a result one)", err)
	}
	return err
}
