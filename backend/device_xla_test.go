//go:build linux && cgo

package backend

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// cpuPlugin is this machine's XLA plugin for the CPU; without one the test is skipped.
func cpuPlugin(t *testing.T) string {
	t.Helper()
	found := hostPlace().findPlugins(KindXLACPU)
	if len(found.found) == 0 {
		t.Skipf("no XLA plugin: %v", found.missing(KindXLACPU))
	}
	return found.found[0]
}

func TestOpenXLA(t *testing.T) {
	plugin := cpuPlugin(t)
	for _, name := range []string{"xla:cpu", "cpu", "xla:" + plugin} {
		t.Run(name, func(t *testing.T) {
			dev, err := Open(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, "xla:cpu", dev.Name())
			require.Equal(t, KindXLACPU, dev.Kind())
			require.Equal(t, plugin, dev.Plugin())
			require.Contains(t, dev.Description(), plugin)
			require.Contains(t, dev.Description(), "PJRT API ")
			require.True(t, dev.IsXLA())
			require.True(t, dev.IsCPU())
			require.True(t, dev.HasSharedBuffers())
			requireAdds(t, dev)
			require.NoError(t, dev.Close())
			require.NoError(t, dev.Close())
		})
	}
}

// Two open devices are two clients of one plugin: closing one leaves the other as it was.
func TestOpenXLATwice(t *testing.T) {
	cpuPlugin(t)
	first, err := Open(t.Context(), "xla:cpu")
	require.NoError(t, err)
	second, err := Open(t.Context(), "xla:cpu")
	require.NoError(t, err)
	requireAdds(t, first)
	requireAdds(t, second)
	require.NoError(t, first.Close())
	requireAdds(t, second)
	require.NoError(t, second.Close())
	third, err := Open(t.Context(), "xla:cpu")
	require.NoError(t, err)
	requireAdds(t, third)
	require.NoError(t, third.Close())
}

func TestOpenXLAConcurrently(t *testing.T) {
	cpuPlugin(t)
	faults := make(chan error, 4)
	for range cap(faults) {
		go func() {
			dev, err := Open(t.Context(), "xla:cpu")
			if err == nil {
				err = dev.Close()
			}
			faults <- err
		}()
	}
	for range cap(faults) {
		require.NoError(t, <-faults)
	}
}

// A CPU plugin below a folder whose name holds "cuda" is not taken for CUDA's.
func TestOpenXLAMisleadingFolder(t *testing.T) {
	plugin := cpuPlugin(t)
	dir := filepath.Join(t.TempDir(), "cuda-env, with a comma")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	link := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	require.NoError(t, os.Symlink(plugin, link))
	t.Setenv(pluginPathEnv, dir)
	dev, err := Open(t.Context(), "xla:cpu")
	require.NoError(t, err)
	defer dev.Close()
	require.Equal(t, link, dev.Plugin())
	be, ok := dev.Backend().(interface {
		IsCPU() bool
		IsCUDA() bool
	})
	require.True(t, ok)
	require.True(t, be.IsCPU())
	require.False(t, be.IsCUDA())
	require.True(t, dev.HasSharedBuffers())
	requireAdds(t, dev)
}

func TestOpenXLAUnknownOption(t *testing.T) {
	plugin := cpuPlugin(t)
	_, err := Open(t.Context(), "xla:"+plugin+",nonsense=1")
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "nonsense")
}

// A plugin that was cut short as it was downloaded, or a library that is none, is an error, not a crash.
func TestCheckPluginFile(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	require.ErrorContains(t, checkPluginFile(self), self, "a program is no plugin")
	require.ErrorContains(t, checkPluginFile(t.TempDir()), "folder")

	plugin := cpuPlugin(t)
	require.NoError(t, checkPluginFile(plugin))
	head := make([]byte, 1<<20)
	f, err := os.Open(plugin)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.ReadAt(head, 0)
	require.NoError(t, err)
	short := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	require.NoError(t, os.WriteFile(short, head, 0o644))
	require.Error(t, checkPluginFile(short))
	_, err = Open(t.Context(), "xla:"+short)
	require.ErrorIs(t, err, ErrUnavailable)
}

func TestLoadLibrary(t *testing.T) {
	err := loadLibrary(filepath.Join(t.TempDir(), "libnothing.so.1"))
	require.ErrorContains(t, err, "did not load")
	require.ErrorContains(t, err, "libnothing.so.1")
}
