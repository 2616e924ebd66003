package modal_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
	"github.com/omnidocs/omnidocs/textextraction"
)

// workersConfig runs this binary as workers, which leave in a folder of the volume who has begun and who has ended well.
func workersConfig(t *testing.T, fake *modaltest.Server, mode string) (cfg modal.Config, folder string) {
	t.Helper()
	cfg = testConfig(t, mode)
	cfg.Model, cfg.Device, cfg.Reader = "", "", textextraction.QwenTextAPIConfig{}
	cfg.Args = []string{"/data/seen"}
	folder = filepath.Join(fake.VolumeDir("omnidocs"), "seen")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	return cfg, folder
}

// seen waits until workers have left some files.
func seen(t *testing.T, folder, pattern string, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		return err == nil && len(names) == n
	}, time.Minute, 10*time.Millisecond)
}

// A worker that is killed is replaced, as often as was said; then it is told. Those that are left end by SIGTERM.
func TestWorkers(t *testing.T) {
	fake, client := open(t)
	cfg, folder := workersConfig(t, fake, "work")
	workers, err := client.StartWorkers(t.Context(), 3, cfg, modal.WorkersOptions{Replace: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, workers.Close()) }()
	seen(t, folder, "began-*", 3)
	made := fake.Running()[0]
	require.Equal(t, "A10", made.GPU)
	require.Equal(t, map[string]string{"/data": "omnidocs"}, made.Volumes)
	require.Equal(t, time.Hour, made.Lifetime)
	require.Zero(t, made.IdleTimeout, "Modal would take it for idle")
	require.Equal(t, map[string]string{"omnidocs": "sandbox", "omnidocs-fleet": workers.Name()}, made.Tags)
	require.Equal(t, "hf_test", made.Env["HF_TOKEN"])
	require.Equal(t, "/data/.cache", made.Env["HF_HOME"])
	require.NotContains(t, made.Env, "OMNIDOCS_TOKEN")
	require.Equal(t, []string{"/usr/local/bin/worker", "/data/seen"}, made.Command[len(made.Command)-2:])

	first := workers.Running()[0]
	require.NoError(t, fake.Kill(first))
	seen(t, folder, "began-*", 4)
	require.Len(t, workers.Deaths(), 1)
	var death *modal.SandboxError
	require.ErrorAs(t, workers.Deaths()[0], &death)
	require.Equal(t, first, death.ID)
	require.Equal(t, 137, death.ExitCode)
	require.Contains(t, death.Log, "working")
	second := workers.Running()[0]
	require.NoError(t, fake.Kill(second))
	require.Eventually(t, func() bool { return len(workers.Deaths()) == 2 }, time.Minute, 10*time.Millisecond)
	require.Len(t, workers.Running(), 2, "no more are replaced")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, workers.Wait(ctx), context.Canceled)

	require.NoError(t, workers.Close())
	seen(t, folder, "ended-*", 2)
	require.Empty(t, fake.Running())
	require.Len(t, workers.Deaths(), 2)
	require.ErrorContains(t, workers.Wait(t.Context()), second)
	require.NotContains(t, workers.Wait(t.Context()).Error(), first, "it was replaced")
}

// Programs that end by themselves are waited for; those that cannot run are told with what they wrote.
func TestWorkersEndByThemselves(t *testing.T) {
	fake, client := open(t)
	cfg, folder := workersConfig(t, fake, "once")
	cfg.GPU = "none"
	workers, err := client.StartWorkers(t.Context(), 2, cfg, modal.WorkersOptions{Replace: 5})
	require.NoError(t, err)
	require.NoError(t, workers.Wait(t.Context()))
	require.NoError(t, workers.Close())
	seen(t, folder, "began-*", 2)
	require.Empty(t, workers.Deaths())

	cfg, _ = workersConfig(t, fake, "die")
	workers, err = client.StartWorkers(t.Context(), 1, cfg, modal.WorkersOptions{Replace: 1})
	require.NoError(t, err)
	err = workers.Wait(t.Context())
	require.ErrorIs(t, err, modal.ErrOutOfMemory)
	require.ErrorContains(t, err, "allocating 17179869184 bytes")
	require.Len(t, workers.Deaths(), 2)
	require.NoError(t, workers.Close())
	require.Empty(t, fake.Running())
	require.Equal(t, 2, count(fake.Calls(), "ImagePublish"), "one program in two images")
}

// The end of the context ends workers, those that hear no SIGTERM too; Reap finds them.
func TestWorkersAreEnded(t *testing.T) {
	fake, client := open(t)
	cfg, folder := workersConfig(t, fake, "stubborn")
	cfg.Fleet = "stubborn"
	ctx, cancel := context.WithCancel(t.Context())
	workers, err := client.StartWorkers(ctx, 1, cfg, modal.WorkersOptions{Drain: 100 * time.Millisecond, Replace: 1})
	require.NoError(t, err)
	seen(t, folder, "began-*", 1)
	cancel()
	require.NoError(t, workers.Wait(t.Context()))
	require.NoError(t, workers.Close())
	require.Empty(t, fake.Running())

	workers, err = client.StartWorkers(t.Context(), 2, cfg, modal.WorkersOptions{Drain: -1})
	require.NoError(t, err)
	require.Equal(t, "/usr/local/bin/worker", fake.Running()[0].Command[0], "with no shell")
	ids, err := client.Reap(t.Context(), "", "stubborn")
	require.NoError(t, err)
	require.Len(t, ids, 2)
	require.Error(t, workers.Wait(t.Context()), "they have died as far as this process knows")
	require.NoError(t, workers.Close())
}

// A config that is for servers is told by the fields; what cannot start leaves nothing behind.
func TestWorkersFaults(t *testing.T) {
	fake, client := open(t)
	cfg := testConfig(t, "work")
	cfg.Port, cfg.IdleTimeout, cfg.Access = 80, time.Hour, modal.Tunnel
	_, err := client.StartWorkers(t.Context(), 0, cfg, modal.WorkersOptions{Replace: -1})
	require.ErrorIs(t, err, modal.ErrConfig)
	for _, want := range []string{
		"the number of sandboxes is 0", "Replace is -1", "Model is omnidocs/tiny: a worker is told its model in Args", "Device is go", "Port is 80",
		"IdleTimeout is 1h0m0s", "Access is tunnel", "Reader is set",
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = client.StartWorkers(t.Context(), 1, modal.Config{Program: "no-such"}, modal.WorkersOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Empty(t, fake.Sandboxes())

	cfg, _ = workersConfig(t, fake, "work")
	fake.Fail("SandboxCreate", status.Error(codes.FailedPrecondition, "no GPU of this kind in your plan"))
	_, err = client.StartWorkers(t.Context(), 2, cfg, modal.WorkersOptions{})
	require.ErrorContains(t, err, "no GPU of this kind in your plan")
	require.Empty(t, fake.Running(), "the other sandbox too")
}
