package journal

import (
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func key(s string) Key { return NewKey([]byte(s)) }

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

// get returns what is kept under a key, or "-".
func get(t *testing.T, j *Journal, k Key) string {
	t.Helper()
	data, ok, err := j.Get(k)
	require.NoError(t, err)
	if !ok {
		return "-"
	}
	return string(data)
}

// crash ends a journal as the death of its process does: nothing is written, the lock is free.
func crash(t *testing.T, j *Journal) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	require.NoError(t, j.own.close())
	j.closed = true
}

func TestJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder\nof [its] own")
	j := open(t, dir)
	require.Equal(t, "-", get(t, j, key("a")))
	require.NoError(t, j.Put(key("a"), []byte(`{"x":1}`), key("first name")))
	require.NoError(t, j.Put(key("b"), []byte(``)))
	require.NoError(t, j.Put(key("b"), []byte(`two words`)))
	require.NoError(t, j.Name(key("b"), key("second name")))
	require.NoError(t, j.Name(key("b"), key("second name")))
	require.ErrorContains(t, j.Put(key("c"), []byte("1\n2")), "line breaks")
	check := func(j *Journal) {
		t.Helper()
		require.Equal(t, `{"x":1}`, get(t, j, key("a")))
		require.Equal(t, `{"x":1}`, get(t, j, key("first name")))
		require.Equal(t, "two words", get(t, j, key("b")))
		require.Equal(t, "two words", get(t, j, key("second name")))
		require.Equal(t, "-", get(t, j, key("c")))
		require.Equal(t, 2, j.Len())
		require.Zero(t, j.Damaged())
	}
	check(j)
	beside := open(t, dir) // another process
	check(beside)
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	_, _, err := j.Get(key("a"))
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, j.Put(key("a"), nil), ErrClosed)
	again := open(t, dir)
	check(again)
	require.NoError(t, beside.Put(key("d"), []byte("4")))
	require.Equal(t, "-", get(t, again, key("d")))
	require.NoError(t, again.Refresh())
	require.Equal(t, "4", get(t, again, key("d")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4, "two files and their locks: a file that nobody holds is used again")
}

func TestOpenFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(file)
	require.ErrorContains(t, err, file)
	_, err = Open(filepath.Join(file, "below"))
	require.ErrorContains(t, err, file)
}

// TestCutShort cuts a journal off at every byte: what was whole is there, and what comes next is kept.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	require.NoError(t, j.Put(key("a"), []byte("1")))
	whole := j.own.read
	require.NoError(t, j.Put(key("b"), []byte("2")))
	all, err := os.ReadFile(j.own.path)
	require.NoError(t, err)
	for n := whole; n < int64(len(all)); n++ {
		cut := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(cut, "0001.journal"), all[:n], 0o600))
		j := open(t, cut)
		require.Equal(t, "1", get(t, j, key("a")))
		require.Equal(t, "-", get(t, j, key("b")))
		require.NoError(t, j.Put(key("c"), []byte("3")))
		require.NoError(t, j.Close())
		j = open(t, cut)
		require.Equal(t, "1", get(t, j, key("a")))
		require.Equal(t, "3", get(t, j, key("c")))
		require.Zero(t, j.Damaged())
	}
}

// TestDamage changes every byte of a record between two others.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	require.NoError(t, j.Put(key("a"), []byte("1")))
	from := j.own.read
	require.NoError(t, j.Put(key("b"), []byte("2")))
	to := j.own.read
	require.NoError(t, j.Put(key("c"), []byte("3")))
	all, err := os.ReadFile(j.own.path)
	require.NoError(t, err)
	for n := from; n < to-1; n++ {
		damaged := t.TempDir()
		changed := []byte(string(all))
		changed[n] ^= 1
		require.NoError(t, os.WriteFile(filepath.Join(damaged, "0001.journal"), changed, 0o600))
		j := open(t, damaged)
		require.Equal(t, "1-3", get(t, j, key("a"))+get(t, j, key("b"))+get(t, j, key("c")), "byte %d", n)
		require.Positive(t, j.Damaged())
	}
	t.Run("after it was read", func(t *testing.T) {
		other := open(t, dir)
		changed := []byte(string(all))
		changed[to-2] ^= 1
		require.NoError(t, os.WriteFile(j.own.path, changed, 0o600))
		require.Equal(t, "-", get(t, other, key("b")))
		require.Equal(t, "3", get(t, other, key("c")))
		require.Equal(t, 1, other.Damaged())
	})
}

func TestDeaths(t *testing.T) {
	dir := t.TempDir()
	a, b, c := key("a"), key("b"), key("c")
	j := open(t, dir)
	living := open(t, dir)
	require.NoError(t, living.Begin(c, false))
	require.NoError(t, j.Begin(a, false))
	require.NoError(t, j.Begin(b, false))
	require.NoError(t, j.Begin(key("finished"), false))
	require.NoError(t, j.Put(key("finished"), nil))
	require.NoError(t, j.Begin(key("failed"), false))
	require.NoError(t, j.End(key("failed")))
	crash(t, j)

	require.Zero(t, living.Deaths(a), "it does not know yet")
	require.NoError(t, living.Refresh())
	require.Equal(t, Deaths{Beside: 1}, living.Deaths(a))

	j = open(t, dir)
	require.Equal(t, Deaths{Beside: 1}, j.Deaths(a))
	require.Equal(t, Deaths{Beside: 1}, j.Deaths(b))
	for _, k := range []Key{c, key("finished"), key("failed")} {
		require.Zero(t, j.Deaths(k), "c is being read by a process that lives")
	}
	require.NoError(t, j.Begin(a, true))
	crash(t, j)
	j = open(t, dir)
	require.NoError(t, j.Begin(a, true))
	crash(t, j)
	j = open(t, dir)
	require.Equal(t, Deaths{Beside: 1, Alone: 2}, j.Deaths(a))
	require.NoError(t, j.Put(b, nil))
	require.NoError(t, j.Begin(c, true))
	require.NoError(t, j.Close(), "an orderly end is no death")
	j = open(t, dir)
	require.Equal(t, Deaths{Beside: 1, Alone: 2}, j.Deaths(a))
	require.Zero(t, j.Deaths(b))
	require.Zero(t, j.Deaths(c))
	require.NoError(t, j.End(a))
	require.Zero(t, j.Deaths(a))
}

func TestGoroutines(t *testing.T) {
	dir := t.TempDir()
	journals := []*Journal{open(t, dir), open(t, dir)}
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			j := journals[n%2]
			for i := range 20 {
				k := key(fmt.Sprint(n, i))
				if err := j.Begin(k, false); err != nil {
					t.Error(err)
				}
				if err := j.Put(k, fmt.Append(nil, n, i)); err != nil {
					t.Error(err)
				}
				if err := j.Refresh(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	j := open(t, dir)
	require.Equal(t, 160, j.Len())
	for n := range 8 {
		for i := range 20 {
			require.Equal(t, fmt.Sprint(n, i), get(t, j, key(fmt.Sprint(n, i))))
		}
	}
}

func TestImageKey(t *testing.T) {
	const w, h = 7, 150
	rgba := image.NewRGBA(image.Rect(-3, 5, w-3, h+5))
	nrgba := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{uint8(x), uint8(y), uint8(x * y), 255}
			rgba.SetRGBA(x-3, y+5, c)
			nrgba.Set(x, y, c)
		}
	}
	want := ImageKey(rgba)
	require.Equal(t, want, ImageKey(nrgba), "neither the type nor the place matters")
	require.NotEqual(t, want, ImageKey(nrgba.SubImage(image.Rect(0, 0, w, h-1))))
	nrgba.SetNRGBA(w-1, h-1, color.NRGBA{1, 2, 3, 255})
	require.NotEqual(t, want, ImageKey(nrgba), "the last pixel does")
	require.NotEqual(t, ImageKey(image.NewGray(image.Rect(0, 0, 2, 3))), ImageKey(image.NewGray(image.Rect(0, 0, 3, 2))))
	require.NotEqual(t, NewKey([]byte("ab"), []byte("c")), NewKey([]byte("a"), []byte("bc")))
	got, err := ParseKey(want.String())
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, bad := range []string{"", "00", want.String() + "0", strings.Repeat("x", 64)} {
		_, err := ParseKey(bad)
		require.Error(t, err)
	}
	read, err := ReaderKey(strings.NewReader("abc"))
	require.NoError(t, err)
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", read.String())
}

func FuzzParse(f *testing.F) {
	f.Add(record{put, key("a"), []byte("{}")}.line())
	f.Add([]byte("00000000 put"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parse(line)
		if err == nil {
			require.Equal(t, string(line)+"\n", string(r.line()))
		}
	})
}
