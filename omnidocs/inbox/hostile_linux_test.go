package inbox

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFullDisk lets the disk of the inbox fill up: no file is lost, and with more room every one is processed once.
func TestFullDisk(t *testing.T) {
	const count = 30
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	for n := range count {
		drop(t, dir, fmt.Sprintf("%02d.png", n), n)
	}
	ex := &fake{}
	b := open(t, dir, ex)
	full, err := b.Run(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, full.Problems)
	for _, problem := range full.Problems {
		require.ErrorIs(t, problem, syscall.ENOSPC)
	}
	require.Zero(t, full.Failed)
	left := list(t, dir, "inbox")
	claimed, err := filepath.Glob(filepath.Join(b.own, "*", "*.png"))
	require.NoError(t, err)
	require.Len(t, list(t, dir, "processed"), full.Processed)
	require.Equal(t, count, len(left)+len(claimed)+full.Processed, "every file is somewhere")

	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"))
	rest, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Empty(t, rest.Problems)
	require.Equal(t, count, full.Processed+rest.Processed)
	require.Len(t, list(t, dir, "processed"), count)
	require.Len(t, list(t, dir, "results"), count)
	require.Empty(t, list(t, dir, "inbox"))
	require.Empty(t, list(t, dir, ".omnidocs", "tmp"))
}
