package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "sub\nfolder", "file")
	for _, data := range []string{"one", "two", "two", ""} {
		require.NoError(t, Write(path, tmp, []byte(data)))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, data, string(got))
	}
	t.Run("what is there already is not written again", func(t *testing.T) {
		require.NoError(t, Write(path, "no such folder", nil))
		require.Error(t, Write(path, "no such folder", []byte("new")))
	})
	t.Run("a folder in its place", func(t *testing.T) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "folder", "full"), 0o755))
		require.Error(t, Write(filepath.Join(dir, "folder"), tmp, []byte("x")))
	})
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is left behind, also by what failed")
}
