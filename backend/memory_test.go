package backend

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// testDevice opens the device that the environment names, or the pure-Go one.
func testDevice(t *testing.T) *Device {
	t.Helper()
	name := os.Getenv("OMNIDOCS_DEVICE")
	if name == "" {
		name = "go"
	}
	d, err := Open(t.Context(), name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestDeviceMemory(t *testing.T) {
	d := testDevice(t)
	before, err := d.Memory(t.Context())
	require.NoError(t, err)
	require.Positive(t, before.Used)
	require.GreaterOrEqual(t, before.Reserved, before.Used)
	if runtime.GOOS == "linux" && d.IsCPU() {
		require.Equal(t, MemoryProcess, before.Source)
		require.GreaterOrEqual(t, before.Peak, before.Used)
		require.Greater(t, before.Total, before.Used)
		require.Positive(t, before.Available)

		// What is touched is resident: the peak and the present grow by it.
		held := make([]byte, 64*mib)
		for i := 0; i < len(held); i += 4096 {
			held[i] = 1
		}
		after, err := d.Memory(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, after.Used, before.Used+48*mib)
		require.GreaterOrEqual(t, after.Peak, after.Used)
		runtime.KeepAlive(held)
	}
	all, err := d.MemoryAll(t.Context())
	require.NoError(t, err)
	require.Len(t, all, d.NumDevices())
	gpus, err := d.GPUs(t.Context())
	require.NoError(t, err)
	require.Equal(t, d.IsCPU(), len(gpus) == 0)
}

func TestDeviceMemoryRefuses(t *testing.T) {
	d, err := Open(t.Context(), "go")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Memory(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, d.Close())
	_, err = d.Memory(t.Context())
	require.EqualError(t, err, "backend: memory of go: the device is closed")
	_, err = d.MemoryAll(t.Context())
	require.ErrorContains(t, err, "closed")
}

// A monitor may go on asking while the device is closed.
func TestDeviceMemoryBesideClose(t *testing.T) {
	d := testDevice(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := d.Memory(t.Context()); err != nil {
					assert.ErrorContains(t, err, "the device is closed")
					return
				}
			}
		})
	}
	require.NoError(t, d.Close())
	wg.Wait()
}

func TestRuntimeMemory(t *testing.T) {
	m := runtimeMemory()
	require.Greater(t, m.Used, 100*kib)
	require.Equal(t, MemoryStats{Used: m.Used, Reserved: m.Used, Source: MemoryGoRuntime}, m)
}

func TestLinuxMemory(t *testing.T) {
	const status = "Name:\tx\nVmPeak:\t 9000000 kB\nVmHWM:\t  300000 kB\nVmRSS:\t  200000 kB\n"
	const meminfo = "MemTotal:       8388608 kB\nMemFree:          1 kB\nMemAvailable:    4194304 kB\n"
	machine := MemoryStats{Used: 200000 * kib, Reserved: 200000 * kib, Peak: 300000 * kib, Total: 8 * gib, Available: 4 * gib, Source: MemoryProcess}
	limited := func(total, available int64) MemoryStats {
		m := machine
		m.Total, m.Available = total, available
		return m
	}
	const unlimitedV1 = "9223372036854771712\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  MemoryStats
	}{
		{"no groups", nil, machine},
		{"v2 without a limit", map[string]string{
			"proc/self/cgroup": "0::/user.slice\n", "sys/fs/cgroup/user.slice/memory.max": "max\n", "sys/fs/cgroup/user.slice/memory.current": "1\n",
		}, machine},
		{"v2 in a container, files do not count", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "2147483648\n", "sys/fs/cgroup/memory.current": "1610612736\n",
			"sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 536870912\nactive_file 5\n",
		}, limited(2*gib, gib)},
		{"v2, the limit is the parent's", map[string]string{
			"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/memory.max": "max\n",
			"sys/fs/cgroup/pod/memory.max": "1073741824\n", "sys/fs/cgroup/pod/memory.current": "1073741824\n",
		}, limited(gib, 0)},
		{"v2, the host's path is not mounted", map[string]string{
			"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/memory.max": "3221225472\n", "sys/fs/cgroup/memory.current": "0\n",
		}, limited(3*gib, 3*gib)},
		{"v2, more than the machine has", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1099511627776\n", "sys/fs/cgroup/memory.current": "0\n",
		}, machine},
		{"v1 beside an empty v2", map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:memory:/a\n1:cpu:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1073741824\n",
			"sys/fs/cgroup/memory/a/memory.usage_in_bytes": "805306368\n", "sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 268435456\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1, "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
		}, limited(gib, gib/2)},
		{"v1 with two controllers and no limit", map[string]string{
			"proc/self/cgroup": "4:cpu,memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1, "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
		}, machine},
		{"garbage limits nothing", map[string]string{
			"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/memory.max": "-3\n", "sys/fs/cgroup/memory.current": "x\n",
		}, machine},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{"proc/self/status": {Data: []byte(status)}, "proc/meminfo": {Data: []byte(meminfo)}}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := linuxMemory(root)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
	for name, root := range map[string]fstest.MapFS{
		"file does not exist":                 {},
		"has no VmHWM":                        {"proc/self/status": {Data: []byte("VmRSS: 1 kB\n")}},
		`VmRSS is "many kB", want a number`:   {"proc/self/status": {Data: []byte("VmHWM: 1 kB\nVmRSS: many kB\n")}},
		`VmRSS is "-1 kB", want a number`:     {"proc/self/status": {Data: []byte("VmHWM: 1 kB\nVmRSS: -1 kB\n")}},
		"has no MemAvailable":                 {"proc/self/status": {Data: []byte(status)}, "proc/meminfo": {Data: []byte("MemTotal: 1 kB\n")}},
		"proc/meminfo: file does not exist":   {"proc/self/status": {Data: []byte(status)}},
		`"9223372036854775807 kB", want a nu`: {"proc/self/status": {Data: []byte("VmRSS: 9223372036854775807 kB\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := linuxMemory(root)
			require.ErrorContains(t, err, name)
		})
	}
}

const threeGPUs = `0, GPU-aaaa1111, NVIDIA A10, 23028, 1500, 21528, 37
1, GPU-bbbb2222, NVIDIA A10, 23028, 0, 22600, [N/A]
2, GPU-cccc3333, "NVIDIA H200, big", 143771, 143000, 771, 100
`

func TestParseGPUs(t *testing.T) {
	gpus, err := parseGPUs(threeGPUs)
	require.NoError(t, err)
	require.Len(t, gpus, 3)
	require.Equal(t, GPU{
		Index: 0, UUID: "GPU-aaaa1111", Name: "NVIDIA A10", Utilization: 37,
		Memory: MemoryStats{Used: 1500 * mib, Reserved: 1500 * mib, Total: 23028 * mib, Available: 21528 * mib, Source: MemoryNVIDIASMI},
	}, gpus[0])
	require.Equal(t, -1, gpus[1].Utilization)
	require.Equal(t, "NVIDIA H200, big", gpus[2].Name)
	for output, want := range map[string]string{
		"":                                     "no GPUs",
		"No devices were found\n":              "no GPUs were found",
		"NVIDIA-SMI has failed because …\n":    "wrong number of fields",
		"0, GPU-a, X, 1, 1\n":                  "wrong number of fields",
		"-1, GPU-a, X, 9, 1, 8, 0\n":           `index is "-1"`,
		"0, MIG-a, X, 9, 1, 8, 0\n":            `uuid is "MIG-a"`,
		"0, GPU-a, X, 9 MiB, 1, 8, 0\n":        `memory.total is "9 MiB", want a number of MiB`,
		"0, GPU-a, X, 9, [N/A], 8, 0\n":        `memory.used is "[N/A]"`,
		"0, GPU-a, X, 9, 1, -8, 0\n":           `memory.free is "-8"`,
		"0, GPU-a, X, 99999999999999, 1, 8, 0": `memory.total is "99999999999999"`,
		"0, GPU-a, X, 9, 10, 8, 0\n":           "must fit into memory.total (9)",
		"0, GPU-a, X, 0, 0, 0, 0\n":            "must fit",
		"0, GPU-a, X, 9, 1, 8, 101\n":          `utilization.gpu is "101"`,
		"0, GPU-a, X, 9, 1, 8, 0\n\"":          "nvidia-smi: ",
	} {
		_, err := parseGPUs(output)
		require.ErrorContains(t, err, want, output)
		require.ErrorContains(t, err, "nvidia-smi: ", output)
	}
}

func TestVisibleGPUs(t *testing.T) {
	gpus, err := parseGPUs(threeGPUs)
	require.NoError(t, err)
	for _, test := range []struct {
		environ string
		isSet   bool
		chosen  string
		want    []int
		err     string
	}{
		{"", false, "", []int{0, 1, 2}, ""},
		{"", false, "1", []int{1}, ""},
		{"2,0", true, "", []int{2, 0}, ""},
		{"2, 0", true, "1", []int{0}, ""},
		{"GPU-bb,GPU-cccc3333", true, "", []int{1, 2}, ""},
		{"1,-1,2", true, "", []int{1}, ""}, // CUDA ends the list there
		{"", true, "", nil, `none of which CUDA_VISIBLE_DEVICES="" names`},
		{"GPU-", true, "", nil, "none of which"},
		{"MIG-1", true, "", nil, "none of which"},
		{"", false, "3", nil, "no number 3"},
		{"0", true, "1", nil, "lists 1 GPUs, no number 1"},
	} {
		got, err := visibleGPUs(gpus, test.environ, test.isSet, test.chosen)
		if test.err != "" {
			require.ErrorContains(t, err, test.err, "%+v", test)
			continue
		}
		require.NoError(t, err, "%+v", test)
		var numbers []int
		for _, g := range got {
			numbers = append(numbers, g.Index)
		}
		require.Equal(t, test.want, numbers, "%+v", test)
	}
}

// fakeSMI puts a program of that name, which runs the script, into an otherwise empty PATH.
func fakeSMI(t *testing.T, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake nvidia-smi is a shell script")
	}
	dir := t.TempDir()
	if script != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\n"+script), 0o755))
	}
	t.Setenv("PATH", dir)
}

func TestQueryGPUs(t *testing.T) {
	t.Run("three", func(t *testing.T) {
		// The fake answers only what is asked in the way that parseGPUs expects.
		fakeSMI(t, `[ "$1" = "--query-gpu=`+gpuFields+`" ] && [ "$2" = "--format=csv,noheader,nounits" ] || exit 2
echo '`+strings.TrimSuffix(threeGPUs, "\n")+"'\n")
		gpus, err := queryGPUs(t.Context())
		require.NoError(t, err)
		require.Len(t, gpus, 3)

		// A CUDA device without its plugin's numbers has those of nvidia-smi. The backend serves only to be open.
		d, err := Open(t.Context(), "go")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		cuda := &Device{backend: d.backend, kind: KindXLACUDA, visible: "1"}
		t.Setenv("CUDA_VISIBLE_DEVICES", "2,0")
		m, err := cuda.Memory(t.Context())
		require.NoError(t, err)
		require.Equal(t, gpus[0].Memory, m)
		found, err := cuda.GPUs(t.Context())
		require.NoError(t, err)
		require.Equal(t, gpus[:1], found)
		t.Setenv("CUDA_VISIBLE_DEVICES", "7")
		_, err = cuda.Memory(t.Context())
		require.ErrorContains(t, err, "backend: memory of xla:cuda: ")
		require.ErrorContains(t, err, "CUDA_VISIBLE_DEVICES")
		_, err = cuda.GPUs(t.Context())
		require.ErrorContains(t, err, "CUDA_VISIBLE_DEVICES")
	})
	t.Run("fails", func(t *testing.T) {
		fakeSMI(t, "echo NVIDIA-SMI has failed; echo because >&2; exit 9\n")
		_, err := queryGPUs(t.Context())
		require.EqualError(t, err, "nvidia-smi: exit status 9: NVIDIA-SMI has failed because")
	})
	t.Run("missing", func(t *testing.T) {
		fakeSMI(t, "")
		_, err := queryGPUs(t.Context())
		require.ErrorContains(t, err, "it comes with NVIDIA's driver")
	})
	t.Run("hangs", func(t *testing.T) {
		fakeSMI(t, "exec /bin/sleep 60\n")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := queryGPUs(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 30*time.Second)
	})
}
