package backend

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// GPU is what nvidia-smi says of a GPU.
type GPU struct {
	// Index is nvidia-smi's number of the GPU, in the order of the bus.
	Index int `json:"index"`
	// UUID names the GPU wherever it is, "GPU-…".
	UUID string `json:"uuid"`
	// Name is the product's, for example "NVIDIA A10".
	Name string `json:"name"`
	// Memory is that of all programs on the GPU.
	Memory MemoryStats `json:"memory"`
	// Utilization is the percentage of the last sample period, a sixth of a second to a second, in which something ran on the GPU.
	// It is -1 where the GPU does not tell it.
	Utilization int `json:"utilization_percent"`
}

// gpuFields are the columns that are asked for. "memory.reserved" is not among them: it is what the driver keeps for itself, which
// older drivers count into memory.used and do not know by name.
const gpuFields = "index,uuid,name,memory.total,memory.used,memory.free,utilization.gpu"

// queryGPUs asks nvidia-smi for all GPUs of the machine.
func queryGPUs(ctx context.Context) ([]GPU, error) {
	limited, cancel := context.WithTimeout(ctx, nvidiaSMITimeout)
	defer cancel()
	cmd := exec.CommandContext(limited, "nvidia-smi", "--query-gpu="+gpuFields, "--format=csv,noheader,nounits")
	// Whatever nvidia-smi has started may hold its output open when it is killed. It is not waited for.
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if limited.Err() != nil {
			return nil, fmt.Errorf("nvidia-smi gave no answer in %s", nvidiaSMITimeout)
		}
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: it comes with NVIDIA's driver; in a container, ask for the \"utility\" capability of the driver", err)
		}
		// What is wrong is on standard output: "NVIDIA-SMI has failed because…", "No devices were found".
		return nil, fmt.Errorf("nvidia-smi: %w: %s", err, shorten(stdout.String()+" "+stderr.String()))
	}
	return parseGPUs(stdout.String())
}

// parseGPUs reads what nvidia-smi prints for gpuFields, and nothing else.
func parseGPUs(output string) ([]GPU, error) {
	if strings.HasPrefix(strings.TrimSpace(output), "No devices were found") {
		return nil, errors.New("nvidia-smi: no GPUs were found")
	}
	r := csv.NewReader(strings.NewReader(output))
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = strings.Count(gpuFields, ",") + 1
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w, in its answer %q", err, shorten(output))
	}
	if len(rows) == 0 {
		return nil, errors.New("nvidia-smi: no GPUs in its answer")
	}
	gpus := make([]GPU, len(rows))
	for i, row := range rows {
		if gpus[i], err = parseGPU(row); err != nil {
			return nil, fmt.Errorf("nvidia-smi: %w, in its line %q", err, shorten(strings.Join(row, ", ")))
		}
	}
	return gpus, nil
}

func parseGPU(row []string) (g GPU, err error) {
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	if g.Index, err = strconv.Atoi(row[0]); err != nil || g.Index < 0 {
		return GPU{}, fmt.Errorf("index is %q, want a number", row[0])
	}
	if g.UUID, g.Name = row[1], row[2]; !strings.HasPrefix(g.UUID, "GPU-") {
		return GPU{}, fmt.Errorf("uuid is %q, want \"GPU-…\"", g.UUID)
	}
	var bytes [3]int64
	for i, name := range []string{"memory.total", "memory.used", "memory.free"} {
		const mebibyte, most = 1 << 20, 1 << 40 // the second keeps the product in range
		n, err := strconv.ParseInt(row[3+i], 10, 64)
		if err != nil || n < 0 || n > most {
			// A GPU that is cut into instances (MIG) says "[N/A]" or "[Insufficient Permissions]".
			return GPU{}, fmt.Errorf("%s is %q, want a number of MiB", name, row[3+i])
		}
		bytes[i] = n * mebibyte
	}
	if bytes[0] == 0 || bytes[1] > bytes[0] || bytes[2] > bytes[0] {
		return GPU{}, fmt.Errorf("memory.used (%s) and memory.free (%s) must fit into memory.total (%s)", row[4], row[5], row[3])
	}
	g.Memory = MemoryStats{Used: bytes[1], Reserved: bytes[1], Total: bytes[0], Available: bytes[2], Source: MemoryNVIDIASMI}
	switch row[6] {
	case "[N/A]", "[Not Supported]", "N/A":
		g.Utilization = -1
	default:
		if g.Utilization, err = strconv.Atoi(row[6]); err != nil || g.Utilization < 0 || g.Utilization > 100 {
			return GPU{}, fmt.Errorf("utilization.gpu is %q, want a percentage or [N/A]", row[6])
		}
	}
	return g, nil
}

// visibleGPUs are those of nvidia-smi's GPUs that CUDA shows to this process, in CUDA's order, or the one of them whose number
// is chosen. nvidia-smi itself heeds neither. CUDA ends its list at the first entry that names no GPU.
//
// CUDA numbers GPUs of different kinds by their speed unless CUDA_DEVICE_ORDER is PCI_BUS_ID, which nvidia-smi does not do; GPUs of
// one kind have the same numbers with both.
func visibleGPUs(gpus []GPU, environ string, isSet bool, chosen string) ([]GPU, error) {
	shown := gpus
	if isSet {
		shown = nil
	entries:
		for _, entry := range strings.Split(environ, ",") {
			entry = strings.TrimSpace(entry)
			for _, g := range gpus {
				if entry == strconv.Itoa(g.Index) || len(entry) > len("GPU-") && strings.HasPrefix(g.UUID, entry) {
					shown = append(shown, g)
					continue entries
				}
			}
			break
		}
		if len(shown) == 0 {
			return nil, fmt.Errorf("nvidia-smi lists %d GPUs, none of which CUDA_VISIBLE_DEVICES=%q names", len(gpus), environ)
		}
	}
	if chosen == "" {
		return shown, nil
	}
	n, err := strconv.Atoi(chosen)
	if err != nil || n < 0 || n >= len(shown) {
		return nil, fmt.Errorf("nvidia-smi lists %d GPUs, no number %s among them", len(shown), chosen)
	}
	return shown[n : n+1], nil
}

// shorten makes one short line of a program's output.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 200 {
		s = string(runes[:200]) + "…"
	}
	return s
}
