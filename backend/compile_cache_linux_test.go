//go:build linux && cgo

package backend

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a processor is called and can do counts, not how fast it happens to run.
func TestProcessor(t *testing.T) {
	const info = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\ncpu MHz\t\t: %\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: other\n"
	require.Equal(t, "GenuineIntel\nXeon\nfpu avx2", processor(info))
	require.Equal(t, "fp asimd\n0x41\n8", processor("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\n"))
	require.Empty(t, processor(""))
}

func TestNVIDIALoaded(t *testing.T) {
	dir := t.TempDir()
	cudnn := filepath.Join(dir, "libcudnn.so.9")
	require.NoError(t, os.WriteFile(cudnn, []byte("12345"), 0o600))
	maps := "7f00-7f01 r--p 00000000 08:01 1 " + cudnn + "\n7f01-7f02 r-xp 00000000 08:01 1 " + cudnn + "\n" +
		"7f03-7f04 r--p 00000000 08:01 2 /lib/libc.so.6\n7f05-7f06 rw-p 00000000 00:00 0 [heap]\n7f07-7f08 r--p 0 08:01 3 /gone/libcublas.so.12\n"
	require.Equal(t, []string{"libcudnn.so.9 5"}, nvidiaLoaded(maps))
}

func TestLibraryBuild(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	require.NoError(t, os.WriteFile(one, []byte("a library"), 0o600))
	require.NoError(t, os.WriteFile(two, []byte("b library"), 0o600))
	first, err := libraryBuild(one)
	require.NoError(t, err)
	second, err := libraryBuild(two)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	self, err := os.Executable()
	require.NoError(t, err)
	_, err = libraryBuild(self)
	require.NoError(t, err)
	_, err = libraryBuild(filepath.Join(dir, "none"))
	require.Error(t, err)
}
