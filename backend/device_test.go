package backend

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/hostmath"
)

// noPlugins takes the plugins of this machine out of the way of a test of automatic choices.
func noPlugins(t *testing.T) place {
	t.Helper()
	root := t.TempDir()
	return place{getenv: func(string) string { return "" }, home: filepath.Join(root, "home"), root: root, usable: checkPluginFile}
}

func TestParseDevice(t *testing.T) {
	plugin := absolute("/opt/x/pjrt_c_api_cpu_plugin.so")
	cuda := absolute("/opt/CPU/xla_cuda_plugin.so")
	for _, test := range []struct {
		name string
		want target
	}{
		{"", target{kinds: autoKinds}},
		{"auto", target{kinds: autoKinds}},
		{" Auto ", target{kinds: autoKinds}},
		{"cpu", target{kinds: cpuKinds}},
		{"CPU", target{kinds: cpuKinds}},
		{"go", target{kinds: []Kind{KindGo}}},
		{"go:ops_sequential,parallelism=2", target{kinds: []Kind{KindGo}, options: "ops_sequential,parallelism=2"}},
		{"xla", target{kinds: xlaKinds}},
		{"xla:cpu", target{kinds: []Kind{KindXLACPU}}},
		{"stablehlo:cpu", target{kinds: []Kind{KindXLACPU}}},
		{"cuda", target{kinds: []Kind{KindXLACUDA}}},
		{"gpu", target{kinds: []Kind{KindXLACUDA}}},
		{"xla:cuda", target{kinds: []Kind{KindXLACUDA}}},
		{"cuda:0", target{kinds: []Kind{KindXLACUDA}, visible: "0"}},
		{"xla:cuda:3", target{kinds: []Kind{KindXLACUDA}, visible: "3"}},
		{"xla:cuda,tf32=true", target{kinds: []Kind{KindXLACUDA}, options: "tf32=true"}},
		{"xla:" + plugin, target{kinds: []Kind{KindXLACPU}, plugin: plugin}},
		{plugin, target{kinds: []Kind{KindXLACPU}, plugin: plugin}},
		{"xla:" + cuda + ",tf32=false", target{kinds: []Kind{KindXLACUDA}, plugin: cuda, options: "tf32=false"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseDevice(test.name)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestParseDeviceRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"cuba":                              "unknown name",
		"auto:1":                            "unknown name",
		"cpu:0":                             "unknown name",
		"cpu,tf32=true":                     "options",
		"cuda:x":                            "no GPU's number",
		"cuda:-1":                           "no GPU's number",
		"xla:tpu":                           "unknown XLA device",
		"xla:cpu:0":                         "unknown XLA device",
		"xla:" + absolute("/opt/plugin.so"): `holds either "cpu" or "cuda"`,
		"xla:" + absolute("/opt/cpu_cuda"):  `holds either "cpu" or "cuda"`,
		"mps":                               "no support for mps",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseDevice(name)
			require.ErrorContains(t, err, want)
			require.Equal(t, name == "mps", errors.Is(err, ErrUnavailable))
		})
	}
}

func TestOpenGo(t *testing.T) {
	dev, err := Open(t.Context(), "go")
	require.NoError(t, err)
	require.Equal(t, KindGo, dev.Kind())
	require.Equal(t, "go", dev.Name())
	require.Contains(t, dev.Description(), "pure Go")
	vectors := "without vector instructions"
	if hostmath.HasVectors() {
		vectors = "with " + hostmath.Vectors()
	}
	require.Contains(t, dev.Description(), vectors)
	require.Empty(t, dev.Plugin())
	require.Empty(t, dev.Notes())
	require.False(t, dev.IsXLA())
	require.True(t, dev.IsCPU())
	require.True(t, dev.HasSharedBuffers())
	require.Equal(t, 1, dev.NumDevices())
	requireAdds(t, dev)
	require.NoError(t, dev.Close())
	require.NoError(t, dev.Close())
}

// requireAdds runs a graph on the device: 1 + 2 = 3.
func requireAdds(t *testing.T, dev *Device) {
	t.Helper()
	builder := dev.Backend().Builder("add")
	fn := builder.Main()
	scalar := shapes.Make(dtypes.Float32, 1)
	x, err := fn.Parameter("x", scalar, nil)
	require.NoError(t, err)
	y, err := fn.Parameter("y", scalar, nil)
	require.NoError(t, err)
	sum, err := fn.Add(x, y)
	require.NoError(t, err)
	require.NoError(t, fn.Return([]compute.Value{sum}, nil))
	exec, err := builder.Compile()
	require.NoError(t, err)
	defer exec.Finalize()
	a, err := dev.Backend().BufferFromFlatData(0, []float32{1}, scalar)
	require.NoError(t, err)
	b, err := dev.Backend().BufferFromFlatData(0, []float32{2}, scalar)
	require.NoError(t, err)
	out, err := exec.Execute([]compute.Buffer{a, b}, []bool{false, false}, 0)
	require.NoError(t, err)
	got := make([]float32, 1)
	require.NoError(t, out[0].ToFlatData(got))
	require.Equal(t, []float32{3}, got)
	for _, buffer := range []compute.Buffer{a, b, out[0]} {
		require.NoError(t, buffer.Finalize())
	}
}

func TestOpenFromEnvironment(t *testing.T) {
	t.Run("honored when no device is named", func(t *testing.T) {
		t.Setenv("GOMLX_BACKEND", "go:ops_sequential")
		dev, err := Open(t.Context(), "")
		require.NoError(t, err)
		defer dev.Close()
		require.Equal(t, KindGo, dev.Kind())
	})
	t.Run("named in the error", func(t *testing.T) {
		t.Setenv("GOMLX_BACKEND", "cuba")
		_, err := Open(t.Context(), "")
		require.ErrorContains(t, err, `device "cuba" (from GOMLX_BACKEND)`)
	})
	t.Run("ignored when a device is named", func(t *testing.T) {
		t.Setenv("GOMLX_BACKEND", "cuba")
		dev, err := Open(t.Context(), "go")
		require.NoError(t, err)
		require.NoError(t, dev.Close())
	})
	t.Run("unknown option of the pure-Go backend", func(t *testing.T) {
		_, err := Open(t.Context(), "go:nonsense")
		require.ErrorContains(t, err, "nonsense")
	})
}

func TestOpenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"auto", "go", "xla:cpu"} {
		_, err := Open(ctx, name)
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestOpenOptionsRange(t *testing.T) {
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		_, err := OpenWith(t.Context(), "go", OpenOptions{MemoryFraction: bad})
		require.ErrorContains(t, err, "MemoryFraction")
	}
}

// An automatic choice ends at the pure-Go backend; a named device that is not there is an error, and never another device.
func TestWithoutPlugins(t *testing.T) {
	at := noPlugins(t)
	for _, name := range []string{"auto", "cpu"} {
		want, err := parseDevice(name)
		require.NoError(t, err)
		dev, err := open(t.Context(), want, OpenOptions{}, at)
		require.NoError(t, err)
		require.Equal(t, KindGo, dev.Kind())
		require.Empty(t, dev.Notes(), "a plugin that is not installed is no news")
		require.NoError(t, dev.Close())
	}
	for name, hint := range map[string]string{
		"xla":      "pip install lammps-jax-pjrt-cpu==0.11.2",
		"xla:cpu":  "pip install lammps-jax-pjrt-cpu==0.11.2",
		"cuda":     "pip install jax-cuda13-pjrt",
		"cuda:1":   "pip install 'jax[cuda13]'",
		"xla:cuda": "PJRT_PLUGIN_LIBRARY_PATH",
	} {
		want, err := parseDevice(name)
		require.NoError(t, err)
		_, err = open(t.Context(), want, OpenOptions{}, at)
		require.ErrorIs(t, err, ErrUnavailable, name)
		if xlaSupported() == nil {
			require.ErrorContains(t, err, hint)
		} else {
			require.ErrorContains(t, err, `the device "go"`)
		}
	}
}

// A plugin that is found and is none is passed over with a note where there is a choice, and refused where there is not.
func TestBrokenPlugin(t *testing.T) {
	at := noPlugins(t)
	dir := filepath.Join(at.home, ".local", "lib", "go-xla")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	require.NoError(t, os.WriteFile(file, []byte("not a library"), 0o644))

	want, err := parseDevice("xla:cpu")
	require.NoError(t, err)
	_, err = open(t.Context(), want, OpenOptions{}, at)
	require.ErrorIs(t, err, ErrUnavailable)
	if xlaSupported() == nil {
		require.ErrorContains(t, err, "not a Linux shared library")

		dev, err := open(t.Context(), target{kinds: autoKinds}, OpenOptions{}, at)
		require.NoError(t, err)
		defer dev.Close()
		require.Equal(t, KindGo, dev.Kind())
		require.Len(t, dev.Notes(), 1)
		require.Contains(t, dev.Notes()[0], file)
	}

	_, err = Open(t.Context(), "xla:"+file)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, file)
	_, err = Open(t.Context(), "xla:"+filepath.Join(dir, "absent_cpu.so"))
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestCUDAWithoutGPU(t *testing.T) {
	if err := xlaSupported(); err != nil {
		t.Skipf("XLA is not in this build: %v", err)
	}
	at := noPlugins(t)
	at.usable = func(string) error { return nil }
	dir := filepath.Join(at.root, "usr", "local", "lib", "go-xla", "nvidia")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pjrt_c_api_cuda_plugin.so"), nil, 0o644))
	_, err := open(t.Context(), target{kinds: []Kind{KindXLACUDA}}, OpenOptions{}, at)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "no NVIDIA GPU on this machine")

	dev, err := open(t.Context(), target{kinds: autoKinds}, OpenOptions{}, at)
	require.NoError(t, err)
	defer dev.Close()
	require.Equal(t, KindGo, dev.Kind())
}

func TestXLAOptions(t *testing.T) {
	require.Empty(t, xlaOptions(KindXLACPU, target{}, OpenOptions{TF32: true, MemoryFraction: 0.5}))
	require.Equal(t, "tf32=false", xlaOptions(KindXLACUDA, target{}, OpenOptions{}))
	require.Equal(t, "tf32=true,preallocate=true,memory_fraction=0.9,visible_devices=2",
		xlaOptions(KindXLACUDA, target{visible: "2"}, OpenOptions{TF32: true, MemoryFraction: 0.9}))
	require.Equal(t, "tf32=false,allocator=platform", xlaOptions(KindXLACUDA, target{options: "allocator=platform"}, OpenOptions{}))
}

func TestMisleading(t *testing.T) {
	require.False(t, misleading("/a/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so", KindXLACPU))
	require.True(t, misleading("/home/u/cuda-env/lib/pjrt_c_api_cpu_plugin.so", KindXLACPU))
	require.True(t, misleading("/opt/nvidia/pjrt_c_api_cpu_plugin.so", KindXLACPU))
	require.True(t, misleading("/opt/a,b/pjrt_c_api_cpu_plugin.so", KindXLACPU))
	require.False(t, misleading("/a/jax_plugins/xla_cuda13/xla_cuda_plugin.so", KindXLACUDA))
	require.True(t, misleading("/a/cpu/jax_plugins/xla_cuda13/xla_cuda_plugin.so", KindXLACUDA))
}

// absolute makes a slash-separated path absolute on every platform.
func absolute(path string) string {
	abs, err := filepath.Abs(filepath.FromSlash(path))
	if err != nil {
		panic(err)
	}
	return abs
}
