package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

// disk mounts a small file system, and returns its folder and what mounts it anew with other options.
func disk(t *testing.T, options string) (dir string, remount func(flags uintptr, options string)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir, func(flags uintptr, options string) {
		require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, options))
	}
}

// long is an extractor whose texts fill a disk.
type long struct{ fake }

func (l *long) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	r, err := l.fake.ExtractWith(ctx, img, opts)
	if err == nil {
		r.RawOutput = strings.Repeat(r.RawOutput, 500)
	}
	return r, err
}

// TestFullDisk lets the disk fill up in the middle of a job: nothing that was read is lost, what is written is whole, and with more room the job comes to its end.
func TestFullDisk(t *testing.T) {
	const count = 40
	in := t.TempDir()
	for n := range count {
		draw(t, n, in, fmt.Sprintf("%02d.png", n))
	}
	undisturbed := t.TempDir()
	_, err := ProcessDirectory(t.Context(), in, &long{}, pictures(undisturbed))
	require.NoError(t, err)
	want := files(t, undisturbed)

	out, remount := disk(t, "size=400k")
	ex := &long{}
	b, err := ProcessDirectory(t.Context(), in, ex, pictures(out))
	require.NoError(t, err)
	require.Equal(t, count, b.TotalPages())
	failed, problems := 0, len(b.Problems)
	for _, problem := range b.Problems {
		require.ErrorIs(t, problem, syscall.ENOSPC)
	}
	for id, d := range b.All() {
		problems += len(d.Problems)
		for _, problem := range d.Problems {
			require.ErrorIs(t, problem, syscall.ENOSPC)
		}
		if d.Err == nil {
			continue
		}
		failed++
		var output *OutputError
		require.ErrorAs(t, d.Err, &output)
		require.ErrorIs(t, d.Err, syscall.ENOSPC)
		require.Contains(t, d.Err.Error(), id+".json")
		require.NotEmpty(t, d.PageResult(0).Content, "it is in the result all the same")
	}
	require.Positive(t, failed)
	require.Positive(t, problems, "the journal could not be written either")
	got := files(t, out)
	require.Len(t, got, count-failed)
	for name, text := range got {
		require.True(t, json.Valid([]byte(text)), name)
		require.True(t, want[name] == text, "%s differs", name) //nolint:testifylint // Equal would print all of it
	}
	t.Logf("%d of %d results were written, %d pages had no place in the journal", count-failed, count, problems)

	remount(0, "size=4m")
	read := ex.reads()
	b, err = ProcessDirectory(t.Context(), in, ex, pictures(out))
	require.NoError(t, err)
	require.Zero(t, b.FailedDocuments())
	require.Less(t, ex.reads()-read, count, "what is in the journal is not read again")
	got = files(t, out)
	require.Len(t, got, count)
	for name := range want {
		require.True(t, want[name] == got[name], "%s differs", name) //nolint:testifylint // as above
	}
}

func TestUnwritable(t *testing.T) {
	in := t.TempDir()
	draw(t, 1, in, "a.png")
	out, remount := disk(t, "size=1m")
	remount(syscall.MS_RDONLY, "")
	ex := &fake{}
	_, err := ProcessDirectory(t.Context(), in, ex, pictures(filepath.Join(out, "results")))
	require.ErrorIs(t, err, syscall.EROFS)
	require.ErrorContains(t, err, out)
	require.Zero(t, ex.reads(), "before anything is read")
}

// TestStrangeNames has links that lead in circles and to nowhere, and names that are hard to write.
func TestStrangeNames(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	names := []string{"line\nbreak", " blank ", "-flag", "ünï", "\xff\xfe", "a\\b", "*?[x]", `"quoted"`, "tab\t"}
	for n, name := range names {
		draw(t, n, in, name+".png")
	}
	require.NoError(t, os.Symlink(".", filepath.Join(in, "circle")))
	require.NoError(t, os.Symlink("self.png", filepath.Join(in, "self.png")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(in, "nowhere.png")))
	require.NoError(t, os.Mkdir(filepath.Join(in, "folder.png"), 0o755))
	b, err := ProcessDirectory(t.Context(), in, &fake{}, pictures(out))
	require.NoError(t, err)
	require.Equal(t, len(names), b.TotalPages())
	require.Zero(t, b.FailedDocuments())
	require.Len(t, b.Problems, 2)
	for _, link := range []string{"self.png", "nowhere.png"} {
		require.ErrorContains(t, errors.Join(b.Problems...), link)
	}
	got := files(t, out)
	for n, name := range names {
		require.Contains(t, got[name+".json"], fmt.Sprintf("# Page %d", n))
	}
}
