package modal

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// What OmniDocs' deployment guide sets in each of its scripts, and what this package does where a [Config] says nothing.
const (
	DefaultApp             = "omnidocs-deployment"
	DefaultModel           = "Qwen/Qwen3-VL-8B-Instruct"
	DefaultGPU             = "A10G:1"
	DefaultVolume          = "omnidocs"
	DefaultMount           = "/data"
	DefaultSecret          = "adithya-hf-wandb" // it holds HF_TOKEN
	DefaultTimeout         = 600 * time.Second
	DefaultStartupTimeout  = 1800 * time.Second
	DefaultLifetime        = 3600 * time.Second
	DefaultIdleTimeout     = 600 * time.Second
	DefaultScaledownWindow = 300 * time.Second
)

const (
	defaultSlots = 4
	defaultPort  = 8080
	maxLifetime  = 24 * time.Hour // Modal's
	programPath  = "/usr/local/bin/serve"
	workerPath   = "/usr/local/bin/worker"
	readyPath    = "/readyz"
	tokenEnv     = "OMNIDOCS_TOKEN"
)

// Access is how a sandbox is reached.
type Access string

const (
	// Tunnel is a public address with TLS. What it leads to asks for a token, which each [Fleet] makes up for itself.
	Tunnel Access = "tunnel"
	// ConnectToken is an address where Modal lets in those who have a token of its own.
	ConnectToken Access = "connect-token"
)

// Config says what runs on Modal: which model, on what, with which storage, for how long. The zero value is the standard setup of
// OmniDocs' deployment guide, but for the program: set Image or Program.
type Config struct {
	// App is the name of Modal's app that everything belongs to. It is made if it is not there. Empty means [DefaultApp].
	App string
	// Model is a name on the Hugging Face hub, a folder in the volume, or textextraction.TinyModel. Empty means [DefaultModel].
	Model string
	// GPU is what a container gets: "A10G:1", "H100:2", or "none", see [ParseGPU]. Empty means [DefaultGPU]. UncheckedGPU hands it to
	// Modal as it is, for GPUs that are newer than this library.
	GPU          string
	UncheckedGPU bool
	// CPU is physical cores, MemoryMiB memory. Zero means what Modal gives.
	CPU       float64
	MemoryMiB int
	// Image is the container's file system. The zero value means [CUDAImage], or [CPUImage] without a GPU, if Program is set; else it
	// must be one that has the program at /usr/local/bin/serve, such as those of examples/container.
	Image Image
	// Program is a file on this machine that is put into the image: examples/serve, or what [Client.StartWorkers] shall run, built for
	// linux/amd64. Empty means that the image has it. It is uploaded once; an image with the same program and the same base is found again by its hash.
	Program string
	// Device is where the program runs the model, see its flag -device. Empty means "cuda", or "cpu" without a GPU.
	Device string
	// TensorParallel is how many of a container's GPUs a model is divided among. Zero means all. With fewer, each such group has a
	// model of its own.
	TensorParallel int
	// Slots is how many pages a container reads together. Zero means 4.
	Slots int
	// Args are further arguments of the program; all of them, for workers.
	Args []string
	// Command replaces the program and its arguments by another server of OpenAI's protocol, see [VLLM]. It listens at Port on all
	// addresses, is asked at ReadyPath whether it is ready, and finds the token that it asks of callers in the environment variable
	// TokenEnv.
	Command             []string
	ReadyPath, TokenEnv string
	// Port is where the server listens in its container. Zero means 8080.
	Port int
	// Volume is the name of a volume that keeps models and results. It is made if it is not there. Empty means [DefaultVolume]. Mount
	// is where containers see it; empty means [DefaultMount]. NoVolume is none.
	Volume, Mount string
	NoVolume      bool
	// Secrets are names of Modal's secrets, whose values the server finds in its environment. Nil means [DefaultSecret]; an empty list
	// is none.
	Secrets []string
	// Env is the server's environment, on top of the folders of the caches. In a sandbox it may hold what is secret.
	Env map[string]string
	// Regions are where containers may run. Empty means anywhere.
	Regions []string
	// Timeout bounds the reading of a page. Zero means [DefaultTimeout]. StartupTimeout bounds the time until a server is ready, in
	// which it downloads and loads its model. Zero means [DefaultStartupTimeout].
	Timeout, StartupTimeout time.Duration

	// The rest is for sandboxes alone.

	// Fleet is the name by which what is started is found again, see [Client.Reap]. Empty means one that is made up.
	Fleet string
	// Lifetime is after what time Modal ends a sandbox, whatever has become of this process; at most a day. IdleTimeout is after what
	// time it does so when nothing is asked of it. Zero means [DefaultLifetime] and [DefaultIdleTimeout].
	Lifetime, IdleTimeout time.Duration
	// Access is how sandboxes are reached. Empty means [Tunnel].
	Access Access
	// Tags are put on each sandbox besides this package's own.
	Tags map[string]string
	// Pool says how sandboxes that fail are dealt with.
	Pool textextraction.PoolOptions
	// Reader has what is asked of the model: MaxTokens, Temperature, Preset, and so on. What says where it is, is filled in.
	Reader textextraction.QwenTextAPIConfig
}

// VLLM is the config with vLLM in place of our own program: its image with the tag given, "v0.11.0" for example, the GPUs of a
// container joined by tensor parallelism, 0.9 of their memory, a context of 16,384 tokens.
func VLLM(c Config, tag string) Config {
	c = c.withDefaults()
	gpu, err := c.gpu()
	if err != nil {
		gpu.Count = 1 // the error is said when the config is used
	}
	if c.TensorParallel == 0 {
		c.TensorParallel = max(1, gpu.Count)
	}
	c.Image = Image{Registry: "vllm/vllm-openai:" + tag}
	c.Program = ""
	c.Command = append([]string{
		"vllm", "serve", c.Model, "--host", "0.0.0.0", "--port", strconv.Itoa(c.Port), "--tensor-parallel-size", strconv.Itoa(c.TensorParallel),
		"--gpu-memory-utilization", "0.9", "--max-model-len", "16384", "--max-num-seqs", strconv.Itoa(c.Slots), "--limit-mm-per-prompt", `{"image": 1}`,
	}, c.Args...)
	c.Args = nil
	c.ReadyPath, c.TokenEnv = "/health", "VLLM_API_KEY"
	return c
}

func (c Config) withDefaults() Config {
	for _, field := range []struct {
		value    *string
		fallback string
	}{
		{&c.App, DefaultApp}, {&c.Model, DefaultModel}, {&c.GPU, DefaultGPU}, {&c.Volume, DefaultVolume}, {&c.Mount, DefaultMount},
		{&c.ReadyPath, readyPath}, {&c.TokenEnv, tokenEnv}, {(*string)(&c.Access), string(Tunnel)},
	} {
		if *field.value == "" {
			*field.value = field.fallback
		}
	}
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&c.Timeout, DefaultTimeout}, {&c.StartupTimeout, DefaultStartupTimeout}, {&c.Lifetime, DefaultLifetime}, {&c.IdleTimeout, DefaultIdleTimeout},
	} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	if c.Slots == 0 {
		c.Slots = defaultSlots
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.Secrets == nil {
		c.Secrets = []string{DefaultSecret}
	}
	none := strings.EqualFold(c.GPU, NoGPU)
	if c.Image.Registry == "" && c.Program != "" {
		commands := c.Image.Commands
		c.Image = CUDAImage()
		if none {
			c.Image = CPUImage()
		}
		c.Image.Commands = append(slices.Clone(c.Image.Commands), commands...)
	}
	if c.Device == "" {
		c.Device = "cuda"
		if none {
			c.Device = "cpu"
		}
	}
	return c
}

// names are what Modal takes as names of apps, volumes, secrets and tags; variables those of an environment.
var (
	names     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	variables = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (c Config) faults() faults {
	var f faults
	isName := func(field, value string) {
		f.check(names.MatchString(value), field, strconv.Quote(value), "want up to 63 letters, digits, '.', '_' and '-'")
	}
	isName("App", c.App)
	if !c.NoVolume {
		isName("Volume", c.Volume)
		f.check(path.IsAbs(c.Mount) && path.Clean(c.Mount) == c.Mount && c.Mount != "/", "Mount", strconv.Quote(c.Mount), "want an absolute path below /")
	}
	for _, s := range c.Secrets {
		isName("Secrets", s)
	}
	if c.Fleet != "" {
		isName("Fleet", c.Fleet)
	}
	for name := range c.Tags {
		isName("Tags", name)
		f.check(name != tagOwner && name != tagFleet, "Tags", name, "is this package's own")
	}
	for name, value := range c.Env {
		f.check(variables.MatchString(name), "Env", strconv.Quote(name), "want the name of an environment variable")
		f.check(!strings.Contains(value, "\x00"), "Env", name, "has a zero byte")
	}
	gpu, err := c.gpu()
	f.add(err)
	f.check(c.CPU >= 0, "CPU", c.CPU, "is negative")
	f.check(c.MemoryMiB >= 0, "MemoryMiB", c.MemoryMiB, "is negative")
	f.check(c.Slots > 0, "Slots", c.Slots, "is negative (0 means 4)")
	f.check(c.Port > 0 && c.Port < 1<<16, "Port", c.Port, "want 1 to 65535")
	f.check(c.TensorParallel >= 0 && (err != nil || c.TensorParallel == 0 || c.TensorParallel <= max(1, gpu.Count) && max(1, gpu.Count)%c.TensorParallel == 0),
		"TensorParallel", c.TensorParallel, fmt.Sprintf("must divide the number of GPUs, %d", gpu.Count))
	f.check(c.Image.Registry != "", "Image.Registry", `""`, "name an image that has the program, such as that of examples/container, or set Program to a binary of it")
	f.add(c.Image.fault())
	f.check(strings.HasPrefix(c.ReadyPath, "/"), "ReadyPath", strconv.Quote(c.ReadyPath), "want a path that begins with /")
	f.check(variables.MatchString(c.TokenEnv), "TokenEnv", strconv.Quote(c.TokenEnv), "want the name of an environment variable")
	f.check(c.Access == Tunnel || c.Access == ConnectToken, "Access", strconv.Quote(string(c.Access)), `want "tunnel" or "connect-token"`)
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Timeout", c.Timeout}, {"StartupTimeout", c.StartupTimeout}, {"Lifetime", c.Lifetime}, {"IdleTimeout", c.IdleTimeout}} {
		f.check(d.value >= time.Second && d.value%time.Second == 0, d.name, d.value, "want whole seconds, one or more")
	}
	f.check(c.Lifetime <= maxLifetime, "Lifetime", c.Lifetime, "is more than Modal's day")
	f.check(c.Timeout >= 10*time.Second, "Timeout", c.Timeout, "want 10 seconds or more")
	return f
}

func (c Config) gpu() (GPU, error) {
	if c.UncheckedGPU {
		name, number, _ := strings.Cut(c.GPU, ":")
		count, err := strconv.Atoi(number)
		if err != nil {
			count = 1
		}
		return GPU{Type: name, Count: count}, nil
	}
	return ParseGPU(c.GPU)
}

// command is what a container runs.
func (c Config) command() []string {
	if len(c.Command) > 0 {
		return c.Command
	}
	args := []string{programPath, "-addr", ":" + strconv.Itoa(c.Port), "-model", c.Model, "-device", c.Device, "-slots", strconv.Itoa(c.Slots)}
	if gpu, err := c.gpu(); err == nil && gpu.Count > 1 {
		parallel := c.TensorParallel
		if parallel == 0 {
			parallel = gpu.Count
		}
		args = append(args, "-devices", strconv.Itoa(gpu.Count), "-tensor-parallel", strconv.Itoa(parallel))
	}
	return append(args, c.Args...)
}

// environment is the server's: folders of the volume for what is expensive to get again, and what the config adds.
func (c Config) environment() map[string]string {
	env := map[string]string{"GOMLX_NO_AUTO_INSTALL": "1"}
	if !c.NoVolume {
		env["HF_HOME"] = path.Join(c.Mount, ".cache")
		env["OMNIDOCS_MODELS_DIR"] = path.Join(c.Mount, "omnidocs_models")
		env["OMNIDOCS_MODEL_CACHE"] = path.Join(c.Mount, "omnidocs_models") // the guide's name of it
		if strings.HasSuffix(c.Device, "cuda") {                            // how kernels were tuned for the GPU, which takes minutes to find out
			env["XLA_FLAGS"] = "--xla_gpu_per_fusion_autotune_cache_dir=" + path.Join(c.Mount, ".cache", "xla")
		}
		env["VLLM_CACHE_ROOT"] = path.Join(c.Mount, ".cache", "vllm")
	}
	maps.Copy(env, c.Env)
	return env
}
