package modal

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The zero config is the guide's standard setup.
func TestConfigDefaults(t *testing.T) {
	c := Config{Program: "serve"}.withDefaults()
	require.NoError(t, c.faults().err())
	require.Equal(t, "omnidocs-deployment", c.App)
	require.Equal(t, []string{"adithya-hf-wandb"}, c.Secrets)
	require.Equal(t, 600*time.Second, c.Timeout)
	require.Equal(t, "/usr/local/bin/serve -addr :8080 -model Qwen/Qwen3-VL-8B-Instruct -device cuda -slots 4", strings.Join(c.command(), " "))
	require.Equal(t, map[string]string{
		"HF_HOME": "/data/.cache", "OMNIDOCS_MODELS_DIR": "/data/omnidocs_models", "OMNIDOCS_MODEL_CACHE": "/data/omnidocs_models",
		"GOMLX_NO_AUTO_INSTALL": "1", "XLA_FLAGS": "--xla_gpu_per_fusion_autotune_cache_dir=/data/.cache/xla", "VLLM_CACHE_ROOT": "/data/.cache/vllm",
	}, c.environment())
	require.Equal(t, CUDAImage(), c.Image)

	cpu := Config{Program: "serve", GPU: "none", NoVolume: true, Secrets: []string{}, Env: map[string]string{"A": "b"}, Image: Image{Commands: []string{"RUN true"}}}.withDefaults()
	require.NoError(t, cpu.faults().err())
	require.Empty(t, cpu.Secrets)
	require.Equal(t, map[string]string{"GOMLX_NO_AUTO_INSTALL": "1", "A": "b"}, cpu.environment())
	require.Equal(t, []string{"RUN true"}, cpu.Image.Commands)
	require.Contains(t, strings.Join(cpu.command(), " "), "-device cpu")
}

// A container's GPUs are joined for one model, unless it says otherwise.
func TestConfigManyGPUs(t *testing.T) {
	c := Config{Program: "serve", GPU: "A10G:2"}.withDefaults()
	require.Contains(t, strings.Join(c.command(), " "), "-devices 2 -tensor-parallel 2")
	c.GPU, c.TensorParallel = "H100:8", 4
	require.NoError(t, c.faults().err())
	require.Contains(t, strings.Join(c.command(), " "), "-devices 8 -tensor-parallel 4")
	v := VLLM(Config{GPU: "A10G:2", Args: []string{"--enforce-eager"}}, "v0.11.0")
	require.NoError(t, v.withDefaults().faults().err())
	require.Equal(t, "vllm/vllm-openai:v0.11.0", v.Image.Registry)
	require.Equal(t, `vllm serve Qwen/Qwen3-VL-8B-Instruct --host 0.0.0.0 --port 8080 --tensor-parallel-size 2 --gpu-memory-utilization 0.9 `+
		`--max-model-len 16384 --max-num-seqs 4 --limit-mm-per-prompt {"image": 1} --enforce-eager`, strings.Join(v.command(), " "))
}

// All that is wrong is told at once, by name.
func TestConfigFaults(t *testing.T) {
	bad := Config{
		App: "an app", GPU: "A40", Slots: -1, Port: 70000, Volume: "../x", Mount: "data", Secrets: []string{""}, Fleet: "a/b",
		Env: map[string]string{"A=B": ""}, Tags: map[string]string{"omnidocs": "x"}, Access: "open", Timeout: time.Millisecond, Lifetime: 25 * time.Hour,
		ReadyPath: "x", TokenEnv: "1", CPU: -1, MemoryMiB: -1, Image: Image{Registry: "x", Commands: []string{"COPY . /src"}},
	}.withDefaults().faults().err()
	require.ErrorIs(t, bad, ErrConfig)
	for _, want := range []string{
		`App is "an app"`, "Modal has no A40", "Slots is -1", "Port is 70000", `Volume is "../x"`, `Mount is "data"`, `Secrets is ""`, `Fleet is "a/b"`,
		`Env is "A=B"`, "Tags is omnidocs", `Access is "open"`, "Timeout is 1ms", "Lifetime is 25h0m0s", `ReadyPath is "x"`, `TokenEnv is "1"`, "CPU is -1",
		"MemoryMiB is -1", "COPY . /src",
	} {
		require.ErrorContains(t, bad, want)
	}
	require.ErrorContains(t, Config{}.withDefaults().faults().err(), "set Program to a binary of it")
	require.ErrorContains(t, Config{Program: "x", GPU: "H100:8", TensorParallel: 3}.withDefaults().faults().err(), "must divide the number of GPUs, 8")
	require.ErrorContains(t, Config{Program: "x", Image: Image{Registry: "y", Commands: []string{"FROM z"}}}.withDefaults().faults().err(), "it is Registry")
	require.NoError(t, Config{Program: "x", GPU: "B300:2", UncheckedGPU: true}.withDefaults().faults().err())
}

// The image has what the Dockerfile of the examples has.
func TestCUDAImageIsTheDockerfile(t *testing.T) {
	data, err := os.ReadFile("../../examples/container/Dockerfile.cuda")
	require.NoError(t, err)
	_, install, found := strings.Cut(strings.ReplaceAll(string(data), "\\\n", ""), "--target /wheels ")
	require.True(t, found)
	wheels, _, found := strings.Cut(install, "&&")
	require.True(t, found)
	require.Contains(t, CUDAImage().Commands[0], strings.Join(strings.Fields(wheels), " ")+" &&")
}
