package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
)

// runtimeMemory is what Go's runtime knows of this process.
func runtimeMemory() MemoryStats {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	var n [2]int64
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			n[i] = int64(min(s.Value.Uint64(), math.MaxInt64))
		}
	}
	used := max(0, n[0]-n[1])
	return MemoryStats{Used: used, Reserved: used, Source: MemoryGoRuntime}
}

// linuxMemory reads the memory of this process and its limits from Linux's /proc and /sys, which lie in root. A process has what
// the machine has, and at most what its control group and those above it allow.
func linuxMemory(root fs.FS) (MemoryStats, error) {
	status, err := readTable(root, "proc/self/status", "VmRSS", "VmHWM")
	if err != nil {
		return MemoryStats{}, err
	}
	machine, err := readTable(root, "proc/meminfo", "MemTotal", "MemAvailable")
	if err != nil {
		return MemoryStats{}, err
	}
	m := MemoryStats{
		Used: status["VmRSS"], Peak: max(status["VmHWM"], status["VmRSS"]),
		Total: machine["MemTotal"], Available: machine["MemAvailable"], Source: MemoryProcess,
	}
	m.Reserved = m.Used
	for _, g := range memoryGroups(root) {
		if g.limit < m.Total {
			m.Total = g.limit
		}
		m.Available = min(m.Available, max(0, g.limit-g.used))
	}
	return m, nil
}

// readTable reads those numbers of kilobytes of a file with lines of "Name: 12 kB", in bytes.
func readTable(root fs.FS, name string, wanted ...string) (map[string]int64, error) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	table := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		for _, w := range wanted {
			if key != w {
				continue
			}
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil || kilobytes < 0 || kilobytes > math.MaxInt64>>10 {
				return nil, fmt.Errorf("/%s: %s is %q, want a number of kB", name, w, strings.TrimSpace(value))
			}
			table[w] = kilobytes << 10
		}
	}
	for _, w := range wanted {
		if _, ok := table[w]; !ok {
			return nil, fmt.Errorf("/%s has no %s", name, w)
		}
	}
	return table, nil
}

// memoryGroup is the limit of a control group, and what counts against it and cannot be had back by dropping files from memory.
type memoryGroup struct{ limit, used int64 }

// groupVersion says where a version of control groups has its numbers, below the usual place for mounting it.
type groupVersion struct {
	mount, limit, usage, inactive string
}

var (
	groupsV1 = groupVersion{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
	groupsV2 = groupVersion{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"}
)

// memoryGroups are the control groups with a limit that this process is in, from its own up. In a container the path of the own
// group may be the host's, of which only the end, or nothing, is mounted: the folders that are not there are passed over, and the
// root, which is then the container's own group, is always looked at.
//
// What cannot be read limits nothing: a process may well be without any control group.
func memoryGroups(root fs.FS) []memoryGroup {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var groups []memoryGroup
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(parts) < 3 {
			continue
		}
		var v groupVersion
		switch {
		case parts[0] == "0" && parts[1] == "":
			v = groupsV2
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			v = groupsV1
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if g, err := v.read(root, path.Join(v.mount, dir)); err == nil {
				groups = append(groups, g)
			}
			if dir == "/" {
				break
			}
		}
	}
	return groups
}

// errUnlimited is the limit of a group that has none.
var errUnlimited = errors.New("no limit")

func (v groupVersion) read(root fs.FS, dir string) (g memoryGroup, err error) {
	if g.limit, err = readNumber(root, path.Join(dir, v.limit)); err != nil {
		return g, err
	}
	if g.limit >= 1<<62 {
		return g, errUnlimited // version 1 says "no limit" as the largest number of whole pages
	}
	if g.used, err = readNumber(root, path.Join(dir, v.usage)); err != nil {
		return g, err
	}
	stat, err := fs.ReadFile(root, path.Join(dir, "memory.stat"))
	if err != nil {
		return g, nil //nolint:nilerr // without it the files in memory count as used, which errs to the safe side
	}
	for line := range strings.Lines(string(stat)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == v.inactive {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				g.used = max(0, g.used-n)
			}
		}
	}
	return g, nil
}

// readNumber reads a file that holds a number, or "max".
func readNumber(root fs.FS, name string) (int64, error) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(data))
	if text == "max" {
		return 0, errUnlimited
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("/%s: %q is no number of bytes", name, text)
	}
	return n, nil
}
