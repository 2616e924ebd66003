package compilecache

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newStore makes a store, and what its log says.
func newStore(t *testing.T, limit int64) (*Store, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	s, err := OpenStore(filepath.Join(t.TempDir(), "a", "b"), limit, slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	return s, &said
}

// files are the names of a store's files.
func files(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.Dir())
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStore(t *testing.T) {
	s, said := newStore(t, 1<<20)
	one, other := key{1}, key{2}
	require.Nil(t, s.get(one))
	s.put(one, []byte("program"))
	s.put(other, []byte("another"))
	require.Equal(t, "program", string(s.get(one)))
	again, err := OpenStore(s.Dir(), 1<<20, nil)
	require.NoError(t, err)
	require.Equal(t, "another", string(again.get(other)))
	s.put(one, []byte("program 2"))
	require.Equal(t, "program 2", string(again.get(one)))
	require.Len(t, files(t, s), 2)
	require.Empty(t, said.String())
	info, err := os.Stat(s.Dir())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// A file that is not what was written is as if there were none: it is told, and removed.
func TestStoreBadFiles(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s *Store, data []byte) []byte{
		"empty":          func(*testing.T, *Store, []byte) []byte { return nil },
		"cut short":      func(_ *testing.T, _ *Store, data []byte) []byte { return data[:len(data)-1] },
		"only a head":    func(_ *testing.T, _ *Store, data []byte) []byte { return data[:len(magic)+32] },
		"longer":         func(_ *testing.T, _ *Store, data []byte) []byte { return append(data, 0) },
		"a bit":          func(_ *testing.T, _ *Store, data []byte) []byte { data[len(data)-2] ^= 1; return data },
		"a sum's bit":    func(_ *testing.T, _ *Store, data []byte) []byte { data[len(magic)] ^= 1; return data },
		"another format": func(_ *testing.T, _ *Store, data []byte) []byte { data[0] ^= 1; return data },
		"another's file": func(t *testing.T, s *Store, _ []byte) []byte {
			s.put(key{9}, []byte("program"))
			other, err := os.ReadFile(s.path(key{9}))
			require.NoError(t, err)
			return other
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, said := newStore(t, 1<<20)
			s.put(key{1}, []byte("program"))
			data, err := os.ReadFile(s.path(key{1}))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(s.path(key{1}), spoil(t, s, data), 0o600))
			require.Nil(t, s.get(key{1}))
			require.Contains(t, said.String(), "compiled anew")
			require.NoFileExists(t, s.path(key{1}))
			s.put(key{1}, []byte("program"))
			require.Equal(t, "program", string(s.get(key{1})))
		})
	}
}

// What others may write is not run.
func TestStoreOthersFiles(t *testing.T) {
	s, said := newStore(t, 1<<20)
	s.put(key{1}, []byte("program"))
	require.NoError(t, os.Chmod(s.path(key{1}), 0o622))
	require.Nil(t, s.get(key{1}))
	require.Nil(t, s.get(key{1}))
	require.Equal(t, 1, bytes.Count(said.Bytes(), []byte("others may write")), "it is told once")
	require.FileExists(t, s.path(key{1}), "it is not ours to remove")
}

func TestStoreLimit(t *testing.T) {
	program := make([]byte, 1000)
	s, said := newStore(t, 3500)
	old := time.Now().Add(-2 * abandoned)
	for i := range byte(3) {
		s.put(key{i}, program)
		at := old.Add(time.Duration(i) * time.Minute)
		require.NoError(t, os.Chtimes(s.path(key{i}), at, at))
	}
	require.NotNil(t, s.get(key{0}), "it is now the one that was used last")
	left := filepath.Join(s.Dir(), "1"+partial)
	require.NoError(t, os.WriteFile(left, program, 0o600))
	require.NoError(t, os.Chtimes(left, old, old))
	theirs := filepath.Join(s.Dir(), "README")
	require.NoError(t, os.WriteFile(theirs, make([]byte, 5000), 0o600))
	s.put(key{3}, program)
	require.Nil(t, s.get(key{1}), "it was not used for the longest time")
	for _, i := range []byte{0, 2, 3} {
		require.NotNil(t, s.get(key{i}), i)
	}
	require.NoFileExists(t, left)
	require.FileExists(t, theirs)
	require.Empty(t, said.String())

	s.put(key{4}, make([]byte, 4000))
	require.Nil(t, s.get(key{4}))
	require.Contains(t, said.String(), "not kept")
	require.Len(t, files(t, s), 4)
}

// A folder that cannot be written is no fault of the programs'.
func TestStoreWithoutFolder(t *testing.T) {
	s, said := newStore(t, 1<<20)
	require.NoError(t, os.RemoveAll(s.Dir()))
	s.put(key{1}, []byte("program"))
	s.put(key{2}, []byte("program"))
	require.Nil(t, s.get(key{1}))
	require.Equal(t, 1, bytes.Count(said.Bytes(), []byte("not kept")))
	_, err := OpenStore("relative", 1, nil)
	require.ErrorContains(t, err, "absolute")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = OpenStore(filepath.Join(file, "x"), 1, nil)
	require.Error(t, err)
}

func TestStoreConcurrently(t *testing.T) {
	s, said := newStore(t, 20_000)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 30 {
				k := key{byte(j % 7)}
				want := bytes.Repeat([]byte{byte(j % 7)}, 2000)
				if i%2 == 0 {
					s.put(k, want)
				} else if got := s.get(k); got != nil && !bytes.Equal(got, want) {
					t.Error("a program is not what was written")
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, said.String())
}

// Keys tell apart whatever a program depends on.
func TestKey(t *testing.T) {
	s, _ := newStore(t, 1<<20)
	seen := map[key]string{}
	for _, c := range []struct {
		name     string
		identity []string
		parts    [3]string
	}{
		{"first", []string{"plugin", "device"}, [3]string{"mlir", "text", "options"}},
		{"plugin", []string{"plugin 2", "device"}, [3]string{"mlir", "text", "options"}},
		{"more devices", []string{"plugin", "device", "device"}, [3]string{"mlir", "text", "options"}},
		{"one word", []string{"plugindevice"}, [3]string{"mlir", "text", "options"}},
		{"format", []string{"plugin", "device"}, [3]string{"hlo", "text", "options"}},
		{"text", []string{"plugin", "device"}, [3]string{"mlir", "texts", "options"}},
		{"options", []string{"plugin", "device"}, [3]string{"mlir", "text", ""}},
		{"cut elsewhere", []string{"plugin", "device"}, [3]string{"mlir", "texto", "ptions"}},
	} {
		k := s.For(c.identity...).key([]byte(c.parts[0]), []byte(c.parts[1]), []byte(c.parts[2]))
		require.NotContains(t, seen, k, c.name)
		seen[k] = c.name
	}
	again := s.For("plugin", "device").key([]byte("mlir"), []byte("text"), []byte("options"))
	require.Equal(t, "first", seen[again])
}
