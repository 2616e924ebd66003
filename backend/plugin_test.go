package backend

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree writes files below a temporary folder and returns the place that it makes: home is "home", the machine's root is "root".
func tree(t *testing.T, env map[string]string, files ...string) (place, string) {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		path := filepath.Join(dir, filepath.FromSlash(file))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(file), 0o755))
	}
	return place{
		getenv: func(name string) string { return env[name] },
		home:   filepath.Join(dir, "home"),
		root:   filepath.Join(dir, "root"),
		usable: func(string) error { return nil },
	}, dir
}

// below gives the paths as they were given to tree.
func below(t *testing.T, dir string, paths []string) []string {
	t.Helper()
	var out []string
	for _, path := range paths {
		rel, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		out = append(out, filepath.ToSlash(rel))
	}
	return out
}

func TestFindPlugins(t *testing.T) {
	files := []string{
		"mine/pjrt_c_api_cpu_plugin.so",
		"mine/pjrt_c_api_cuda_plugin.so",
		"home/.local/lib/go-xla/pjrt_c_api_cpu_v0.83.1_plugin.so",
		"home/.local/lib/go-xla/pjrt_c_api_cpu_v0.83.2_plugin.so",
		"home/.local/lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so",
		"home/.local/lib/python3.11/site-packages/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		"home/.pyenv/versions/3.12.1/lib/python3.12/site-packages/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		"root/usr/local/lib/go-xla/pjrt-plugin-cpu.so",
		"root/usr/lib/python3/dist-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so",
		"venv/lib/python3.13/site-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so",
		"venv/lib/python3.13/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
		"venv/bin/python3",
		"conda/lib/python3.10/site-packages/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		"ld/pjrt_c_api_cpu_plugin.so",
		"ld/libz.so",
	}
	env := map[string]string{}
	at, dir := tree(t, env, files...)

	t.Run("usual places", func(t *testing.T) {
		require.Equal(t, []string{
			"home/.local/lib/go-xla/pjrt_c_api_cpu_v0.83.2_plugin.so",
			"home/.local/lib/go-xla/pjrt_c_api_cpu_v0.83.1_plugin.so",
			"root/usr/local/lib/go-xla/pjrt-plugin-cpu.so",
			"home/.local/lib/python3.11/site-packages/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
			"home/.pyenv/versions/3.12.1/lib/python3.12/site-packages/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		}, below(t, dir, at.findPlugins(KindXLACPU).found))
		require.Equal(t, []string{
			"home/.local/lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so",
			"root/usr/lib/python3/dist-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so",
		}, below(t, dir, at.findPlugins(KindXLACUDA).found))
	})
	t.Run("a named folder comes first", func(t *testing.T) {
		env[pluginPathEnv] = filepath.Join(dir, "nowhere") + string(filepath.ListSeparator) + filepath.Join(dir, "mine")
		defer delete(env, pluginPathEnv)
		require.Equal(t, "mine/pjrt_c_api_cpu_plugin.so", below(t, dir, at.findPlugins(KindXLACPU).found)[0])
		require.Equal(t, "mine/pjrt_c_api_cuda_plugin.so", below(t, dir, at.findPlugins(KindXLACUDA).found)[0])
	})
	t.Run("a named file counts for its own kind", func(t *testing.T) {
		env[pluginPathEnv] = filepath.Join(dir, "mine", "pjrt_c_api_cuda_plugin.so")
		defer delete(env, pluginPathEnv)
		require.Equal(t, "mine/pjrt_c_api_cuda_plugin.so", below(t, dir, at.findPlugins(KindXLACUDA).found)[0])
		require.NotContains(t, below(t, dir, at.findPlugins(KindXLACPU).found), "mine/pjrt_c_api_cuda_plugin.so")
	})
	t.Run("the active environment, the newest CUDA first", func(t *testing.T) {
		env["VIRTUAL_ENV"] = filepath.Join(dir, "venv")
		defer delete(env, "VIRTUAL_ENV")
		require.Equal(t, []string{
			"home/.local/lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so",
			"venv/lib/python3.13/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
			"venv/lib/python3.13/site-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so",
			"root/usr/lib/python3/dist-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so",
		}, below(t, dir, at.findPlugins(KindXLACUDA).found))
	})
	t.Run("the Python on PATH", func(t *testing.T) {
		env["PATH"] = filepath.Join(dir, "venv", "bin")
		defer delete(env, "PATH")
		require.Contains(t, below(t, dir, at.findPlugins(KindXLACUDA).found), "venv/lib/python3.13/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so")
	})
	t.Run("conda and LD_LIBRARY_PATH", func(t *testing.T) {
		env["CONDA_PREFIX"], env["LD_LIBRARY_PATH"] = filepath.Join(dir, "conda"), filepath.Join(dir, "ld")
		defer delete(env, "CONDA_PREFIX")
		defer delete(env, "LD_LIBRARY_PATH")
		found := below(t, dir, at.findPlugins(KindXLACPU).found)
		require.Contains(t, found, "conda/lib/python3.10/site-packages/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so")
		require.Equal(t, "ld/pjrt_c_api_cpu_plugin.so", found[len(found)-1])
	})
	t.Run("relative folders are not searched", func(t *testing.T) {
		t.Chdir(dir)
		env["LD_LIBRARY_PATH"], env[pluginPathEnv] = "ld", "mine"
		defer delete(env, "LD_LIBRARY_PATH")
		defer delete(env, pluginPathEnv)
		require.Len(t, at.findPlugins(KindXLACPU).found, 5)
	})
	t.Run("a home with characters of patterns", func(t *testing.T) {
		odd, oddDir := tree(t, nil, "home[1]*/.local/lib/go-xla/pjrt_c_api_cpu_plugin.so")
		odd.home = filepath.Join(oddDir, "home[1]*")
		require.Len(t, odd.findPlugins(KindXLACPU).found, 1)
	})
}

func TestMissingSaysWhereAndHow(t *testing.T) {
	at, dir := tree(t, nil, "home/.local/lib/go-xla/README")
	err := at.findPlugins(KindXLACPU).missing(KindXLACPU)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "lammps-jax-pjrt-cpu==0.11.2")
	require.ErrorContains(t, err, filepath.Join(dir, "home/.local/lib/go-xla"))
	require.NotContains(t, err.Error(), "://", "an error names packages, not hosts")
}

func TestHasNVIDIA(t *testing.T) {
	for file, want := range map[string]bool{
		"root/dev/nvidia0": true, "root/dev/nvidia3": true, "root/dev/dxg": true, "root/proc/driver/nvidia/version": true,
		"root/dev/nvidiactl": false, "root/dev/null": false,
	} {
		at, _ := tree(t, nil, file)
		require.Equal(t, want, at.hasNVIDIA(), file)
	}
}

func TestCUDADataDir(t *testing.T) {
	const plugin13 = "sp/jax_plugins/xla_cuda13/xla_cuda_plugin.so"
	const plugin12 = "sp/jax_plugins/xla_cuda12/xla_cuda_plugin.so"
	tools := func(dir string) []string {
		return []string{dir + "/bin/ptxas", dir + "/nvvm/libdevice/libdevice.10.bc"}
	}
	both := append(tools("sp/nvidia/cu13"), tools("sp/nvidia/cuda_nvcc")...)
	for _, test := range []struct {
		name, plugin string
		env          map[string]string
		files        []string
		want         string
	}{
		{"wheel of CUDA 13", plugin13, nil, both, "sp/nvidia/cu13"},
		{"wheel of CUDA 12", plugin12, nil, both, "sp/nvidia/cuda_nvcc"},
		{"system", plugin13, nil, tools("root/usr/local/cuda"), "root/usr/local/cuda"},
		{"ptxas alone is not enough", plugin13, nil, tools("sp/nvidia/cu13")[:1], ""},
		{"nothing", plugin13, nil, nil, ""},
		{"named", plugin13, map[string]string{"CUDA_HOME": "toolkit"}, append(tools("toolkit"), tools("root/usr/local/cuda")...), "toolkit"},
		{"on PATH", plugin13, map[string]string{"PATH": "toolkit/bin"}, tools("toolkit"), "toolkit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, dir := tree(t, nil, append(test.files, test.plugin)...)
			at.getenv = func(name string) string {
				if test.env[name] == "" {
					return ""
				}
				return filepath.Join(dir, test.env[name])
			}
			got := at.cudaDataDir(filepath.Join(dir, test.plugin))
			if test.want == "" {
				require.Empty(t, got)
				return
			}
			require.Equal(t, []string{test.want}, below(t, dir, []string{got}))
		})
	}
}

func TestWithCUDAData(t *testing.T) {
	require.Equal(t, "--xla_gpu_cuda_data_dir=/c", withCUDAData("", "/c"))
	require.Equal(t, "--a --xla_gpu_cuda_data_dir=/c", withCUDAData("--a", "/c"))
	require.Equal(t, "--xla_gpu_cuda_data_dir=/mine", withCUDAData("--xla_gpu_cuda_data_dir=/mine", "/c"))
	require.Equal(t, "--a", withCUDAData("--a", ""))
}

func TestNVIDIALibraryFiles(t *testing.T) {
	files := []string{
		"sp/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
		"sp/jax_plugins/xla_cuda12/xla_cuda_plugin.so",
		"sp/nvidia/cu13/lib/libcudart.so.13",
		"sp/nvidia/cu13/lib/libnvrtc.so.13",
		"sp/nvidia/cuda_runtime/lib/libcudart.so.12",
		"sp/nvidia/cudnn/lib/libcudnn.so.9",
	}
	_, dir := tree(t, nil, files...)
	require.Equal(t, []string{files[2], files[3], files[5]}, below(t, dir, nvidiaLibraryFiles(filepath.Join(dir, files[0]))))
	require.Equal(t, []string{files[4], files[5]}, below(t, dir, nvidiaLibraryFiles(filepath.Join(dir, files[1]))))
}

func TestWheelVersion(t *testing.T) {
	_, dir := tree(t, nil,
		"sp/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so", "sp/lammps_jax_pjrt_cpu-0.11.2.dist-info/METADATA",
		"sp/jax_plugins/xla_cuda13/xla_cuda_plugin.so", "sp/jax_cuda13_pjrt-0.11.3.dist-info/METADATA")
	require.Equal(t, "lammps_jax_pjrt_cpu-0.11.2", wheelVersion(filepath.Join(dir, "sp/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so")))
	require.Equal(t, "jax_cuda13_pjrt-0.11.3", wheelVersion(filepath.Join(dir, "sp/jax_plugins/xla_cuda13/xla_cuda_plugin.so")))
	require.Empty(t, wheelVersion(filepath.Join(dir, "mine/pjrt_c_api_cpu_plugin.so")))
}
