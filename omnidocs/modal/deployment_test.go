package modal_test

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/freeport"
	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
)

var update = flag.Bool("update", false, "write testdata/*.py anew")

// everything sets all there is to set, with characters that must be quoted.
func everything() modal.Deployment {
	return modal.Deployment{
		Config: modal.Config{
			App: "letters", Model: `/data/"models"/it's\n`, GPU: "H100:2", CPU: 4.5, MemoryMiB: 32768, TensorParallel: 1, Device: "cuda", Slots: 8,
			Image: modal.Image{
				Registry: "registry.example.com/omnidocs:cuda", RegistrySecret: "registry", Python: "3.12",
				Commands: []string{`RUN echo "it's" && echo '"""' && echo {{.D}} é 漢 😀`},
			},
			Volume: "papers", Mount: "/mnt/papers", Secrets: []string{"hub", "token"}, Env: map[string]string{"GREETING": "a\tb\r\nc\u2028", "B": "${A}"},
			Args: []string{"-grace", "20s"}, Regions: []string{"us-east", "eu"}, Timeout: 20 * time.Minute, StartupTimeout: time.Hour, Port: 9000,
		},
		MinContainers: 1, MaxContainers: 10, BufferContainers: 2, ScaledownWindow: 10 * time.Minute, Public: true,
		Retries:  modal.Retries{Max: 5, InitialDelay: 1500 * time.Millisecond, MaxDelay: 30 * time.Second, Backoff: 1.5},
		Schedule: "30 2 * * 1-5", Timezone: "Europe/Berlin", JobTimeout: 3 * time.Hour,
	}
}

// The programs are those in testdata, and Python where Python is there to say so.
func TestPython(t *testing.T) {
	for name, d := range map[string]modal.Deployment{
		"standard":   {Config: modal.Config{Image: modal.Image{Registry: "registry.example.com/omnidocs:cuda", Python: "3.12"}}, Schedule: "0 0 * * *"},
		"everything": everything(),
		"cpu": {Config: modal.Config{
			GPU: "none", NoVolume: true, Secrets: []string{}, Image: modal.Image{Registry: "omnidocs:cpu"}, Command: []string{"serve", "-addr", ":8080"},
		}, Retries: modal.Retries{Max: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := d.Python()
			require.NoError(t, err)
			file := filepath.Join("testdata", name+".py")
			if *update {
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "-update writes it anew")
			python, err := exec.LookPath("python3")
			if err != nil {
				t.Skip("there is no python3 to compile it")
			}
			said, err := exec.CommandContext(t.Context(), python, "-c", "import sys; compile(open(sys.argv[1], encoding='utf-8').read(), sys.argv[1], 'exec')", file).CombinedOutput()
			require.NoError(t, err, string(said))
		})
	}
}

// The same config is the same program, and what is quoted is read back as it was.
func TestPythonQuotes(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 to read it back")
	}
	d := everything()
	first, err := d.Python()
	require.NoError(t, err)
	for range 5 {
		again, err := d.Python()
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
	// Every string of the program, as Python reads it, one a line and in hexadecimal digits.
	script := `import ast, sys
for node in ast.walk(ast.parse(sys.stdin.read())):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        print(node.value.encode("utf-8").hex())`
	cmd := exec.CommandContext(t.Context(), python, "-c", script)
	cmd.Stdin = bytes.NewReader(first)
	out, err := cmd.Output()
	require.NoError(t, err)
	lines := strings.Fields(string(out))
	for _, want := range append([]string{d.App, d.Model, d.Volume, d.Mount, d.Env["GREETING"], d.Env["B"], d.Schedule, d.Timezone}, slices.Concat(d.Image.Commands, d.Args, d.Regions, d.Secrets)...) {
		require.Contains(t, lines, fmt.Sprintf("%x", want), want)
	}
}

// What cannot be deployed is told by name.
func TestDeploymentFaults(t *testing.T) {
	d := everything()
	d.Schedule, d.Timezone, d.ScaledownWindow, d.JobTimeout, d.MinContainers = "@daily", "Mars/Olympus", time.Hour, 25*time.Hour, -1
	d.Retries = modal.Retries{Max: 11, Backoff: 0.5, InitialDelay: time.Hour, MaxDelay: time.Millisecond}
	d.Env = map[string]string{"HF_TOKEN": "hf_secret", "AWS_ACCESS_KEY_ID": "x", "TOKENIZERS_PARALLELISM": "false"}
	d.Args = []string{"\xff", "a\x00b"}
	_, err := d.Python()
	require.ErrorIs(t, err, modal.ErrConfig)
	for _, want := range []string{
		`Schedule is "@daily"`, `Timezone is "Mars/Olympus"`, "ScaledownWindow is 1h0m0s", "JobTimeout is 25h0m0s", "MinContainers is -1", "Retries.Max is 11",
		"Retries.Backoff is 0.5", "Retries.InitialDelay is 1h0m0s", "Retries.MaxDelay is 1ms", "Env is HF_TOKEN", "modal secret create NAME HF_TOKEN=…",
		"Env is AWS_ACCESS_KEY_ID", "Args[0]", "Args[1]",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "TOKENIZERS")
	require.NotContains(t, err.Error(), "hf_secret")
	d = everything()
	d.NoVolume = true
	_, err = d.Python()
	require.ErrorContains(t, err, "the job has nowhere to find files")
}

// pythonEnv names a Python that has Modal's package, version 1.6 or later.
const pythonEnv = "OMNIDOCS_MODAL_PYTHON"

// Modal's own command line deploys the program to the fake, which then has what the config says.
func TestDeploy(t *testing.T) {
	python := os.Getenv(pythonEnv)
	if python == "" {
		t.Skipf("%s names no Python with Modal's package (python3 -m venv DIR && DIR/bin/pip install modal)", pythonEnv)
	}
	fake, _ := open(t)
	for _, name := range []string{"hub", "token"} {
		fake.AddSecret(name, map[string]string{"HF_TOKEN": "x", "OMNIDOCS_TOKEN": "y"})
	}
	fake.AddSecret("registry", map[string]string{"REGISTRY_USERNAME": "x", "REGISTRY_PASSWORD": "y"})
	d := everything()
	d.Image.Commands = []string{"RUN true"} // Modal's client reads Dockerfiles itself
	program, err := d.Python()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "modal_app.py")
	require.NoError(t, os.WriteFile(file, program, 0o600))
	deploy := exec.CommandContext(t.Context(), python, "-m", "modal", "deploy", file)
	deploy.Dir = filepath.Dir(file)
	said, err := deploy.CombinedOutput()
	require.NoError(t, err, "%s\n%s", said, strings.Join(fake.Calls(), " "))

	made := map[string]modaltest.Deployed{}
	for _, f := range fake.Deployed() {
		require.Equal(t, "letters", f.App)
		require.Equal(t, "H100", f.GPU, f.Name)
		require.Equal(t, uint32(2), f.GPUs, f.Name)
		require.Equal(t, map[string]string{"/mnt/papers": "papers"}, f.Volumes, f.Name)
		require.ElementsMatch(t, []string{"hub", "token"}, f.Secrets, f.Name)
		made[f.Name] = f
	}
	require.Len(t, made, 3, made)
	job := made[modal.JobName]
	require.Equal(t, "30 2 * * 1-5", job.Cron)
	require.Equal(t, "Europe/Berlin", job.Timezone)
	require.Equal(t, 3*time.Hour, job.Timeout)
	require.Equal(t, uint32(1), job.Scaling.Max)

	worker := made[modal.WorkerClass+".*"]
	require.ElementsMatch(t, []string{"extract", "request"}, worker.Methods)
	require.True(t, worker.CBOR, "Go can call it")
	require.Equal(t, modaltest.Retries{Max: 5, Backoff: 1.5, InitialDelay: 1500 * time.Millisecond, MaxDelay: 30 * time.Second}, worker.Retries)
	require.Equal(t, modaltest.Scaling{Min: 1, Max: 10, Buffer: 2, Window: 10 * time.Minute}, worker.Scaling)
	require.Equal(t, uint32(8), worker.Concurrency)
	require.Equal(t, 20*time.Minute, worker.Timeout)
	require.Equal(t, time.Hour, worker.StartupTimeout)

	server := made[modal.ServerName]
	require.Equal(t, &modaltest.HTTP{Port: 9000, StartupTimeout: time.Hour, ExitGrace: 25 * time.Second, Public: true}, server.HTTP)
	require.Equal(t, modaltest.Scaling{Min: 1, Max: 10, Buffer: 2, Window: 10 * time.Minute, Target: 8}, server.Scaling)
	require.Empty(t, server.Cron)
}

// The methods of the class, run here by Modal's package, start the server and read a page with it.
func TestWorkerInPython(t *testing.T) {
	python := os.Getenv(pythonEnv)
	if python == "" {
		t.Skipf("%s names no Python with Modal's package (python3 -m venv DIR && DIR/bin/pip install modal)", pythonEnv)
	}
	_, _ = open(t) // so that Modal's package has nobody else to talk to
	self, err := os.Executable()
	require.NoError(t, err)
	address, err := freeport.Address()
	require.NoError(t, err)
	_, number, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err := strconv.Atoi(number)
	require.NoError(t, err)
	program, err := modal.Deployment{Config: modal.Config{
		GPU: "none", NoVolume: true, Secrets: []string{}, Image: modal.Image{Registry: "omnidocs:cpu"}, Port: port, Command: []string{self, "-addr", address},
	}}.Python()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "modal_app.py"), program, 0o600))
	var page bytes.Buffer
	for img := range numberedPages(300) {
		page.Reset()
		require.NoError(t, png.Encode(&page, img))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page.png"), page.Bytes(), 0o600))
	run := exec.CommandContext(t.Context(), python, "-c", `import modal_app, json
started = modal_app.serve
def serve():
    global server
    server = started()
    return server
modal_app.serve = serve # @modal.exit is not run by local()
worker = modal_app.Worker()
try:
    picture = open("page.png", "rb").read()
    result = worker.extract.local(picture)
    print(json.dumps([result["content"], result["word_count"]]))
    answer = worker.request.local("GET", "/readyz", {}, b"")
    print(answer["status"])
    try:
        worker.request.local("GET", "/busy", {}, b"")
    except RuntimeError as e:
        print(e)
    print(worker.request.local("GET", "/none-such", {}, b"")["status"])
finally:
    server.terminate()
`)
	run.Dir = dir
	run.Env = append(os.Environ(), workerEnv+"=serve")
	said, err := run.Output()
	require.NoError(t, err)
	require.Equal(t, "[\"page 299\", 2]\n200\nthe server answers 503: busy\n404\n", strings.ReplaceAll(string(said), "\r", ""))
}
