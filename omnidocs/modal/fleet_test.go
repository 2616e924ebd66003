package modal_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Of three sandboxes with GPUs one dies in the middle of a batch, with pages in it: every page comes once, in its place, and in the end
// nothing runs.
func TestFleetLosesASandbox(t *testing.T) {
	fake, client := open(t)
	cfg := testConfig(t, "serve")
	cfg.Env[holdEnv] = "/data/hold"
	hold := filepath.Join(fake.VolumeDir("omnidocs"), "hold")
	require.NoError(t, os.MkdirAll(filepath.Dir(hold), 0o755))
	fleet, err := client.Start(t.Context(), 3, cfg)
	require.NoError(t, err)
	require.Len(t, fake.Running(), 3)
	made := fake.Running()[0]
	require.Equal(t, "A10", made.GPU)
	require.Equal(t, uint32(1), made.GPUs)
	require.Equal(t, "omnidocs-deployment", made.App)
	require.Equal(t, map[string]string{"/data": "omnidocs"}, made.Volumes)
	require.Equal(t, time.Hour, made.Lifetime)
	require.Equal(t, 10*time.Minute, made.IdleTimeout)
	require.Equal(t, map[string]string{"omnidocs": "sandbox", "omnidocs-fleet": fleet.Name()}, made.Tags)
	require.Equal(t, "hf_test", made.Env["HF_TOKEN"])
	require.Equal(t, "/data/.cache", made.Env["HF_HOME"])
	require.Len(t, made.Env["OMNIDOCS_TOKEN"], 64)

	const pages = 90
	victim := ""
	n := 0
	for r, err := range fleet.Batch(t.Context(), numberedPages(pages), textextraction.BatchOptions{}) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("page %d", n), r.Content)
		if n++; n != pages/3 {
			continue
		}
		// From here pages wait in their sandboxes, until each sandbox has some: then one dies with its.
		require.NoError(t, os.WriteFile(hold, nil, 0o600))
		go func() {
			defer os.Remove(hold)
			for {
				busy := fleet.Workers()
				if !slices.ContainsFunc(busy, func(w textextraction.WorkerStats) bool { return w.InFlight == 0 }) {
					victim = busy[1].Name
					_ = fake.Kill(victim)
					return
				}
				select {
				case <-time.After(time.Millisecond):
				case <-t.Context().Done():
					return
				}
			}
		}()
	}
	require.Equal(t, pages, n)
	require.NotEmpty(t, victim)
	workers := fleet.Workers()
	done := 0
	for _, w := range workers {
		done += w.Done
		require.Equal(t, w.Name == victim, w.Failed > 0, w)
	}
	require.Equal(t, pages, done, "each page was read once")
	require.Eventually(t, func() bool { return len(fleet.Deaths()) == 1 }, time.Minute, 10*time.Millisecond)
	var death *modal.SandboxError
	require.ErrorAs(t, fleet.Deaths()[0], &death)
	require.Equal(t, victim, death.ID)
	require.Equal(t, 137, death.ExitCode)
	require.NoError(t, fleet.Close())
	require.Empty(t, fake.Running())
	_, err = fleet.Extract(t.Context(), nil, textextraction.Markdown)
	require.ErrorIs(t, err, textextraction.ErrClosed)
}

// The program is uploaded once; a token of Modal's lets callers in, and no others.
func TestConnectToken(t *testing.T) {
	fake, client := open(t)
	cfg := testConfig(t, "serve")
	cfg.Access, cfg.GPU, cfg.Tags = modal.ConnectToken, "none", map[string]string{"job": "nightly"}
	for range 2 {
		fleet, err := client.Start(t.Context(), 1, cfg)
		require.NoError(t, err)
		for r, err := range fleet.Batch(t.Context(), numberedPages(3), textextraction.BatchOptions{}) {
			require.NoError(t, err)
			require.Equal(t, fake.Running()[0].ID, r.Worker)
		}
		made := fake.Running()[0]
		require.Empty(t, made.GPU)
		require.Equal(t, "nightly", made.Tags["job"])
		require.NotContains(t, made.Env, "OMNIDOCS_TOKEN")
		require.NoError(t, fleet.Close())
	}
	require.Len(t, fake.Sandboxes(), 3, "one for the upload, and two that read")
	require.Equal(t, 1, count(fake.Calls(), "ImagePublish"))
	require.Empty(t, fake.Running())
}

func count(list []string, s string) (n int) {
	for _, v := range list {
		if v == s {
			n++
		}
	}
	return n
}

// What cannot start is told with what it wrote, and leaves nothing behind.
func TestStartFails(t *testing.T) {
	fake, client := open(t)
	died := testConfig(t, "die")
	_, err := client.Start(t.Context(), 3, died)
	require.ErrorIs(t, err, modal.ErrOutOfMemory)
	require.ErrorContains(t, err, "has ended with code 1 (out of memory: take a larger GPU")
	require.ErrorContains(t, err, "allocating 17179869184 bytes")
	require.Empty(t, fake.Running())

	deaf := testConfig(t, "deaf")
	deaf.StartupTimeout = time.Second
	_, err = client.Start(t.Context(), 1, deaf)
	require.ErrorContains(t, err, "was not ready within 1s (raise StartupTimeout")
	require.ErrorContains(t, err, "downloading the model: 1%")
	require.Empty(t, fake.Running())

	short := testConfig(t, "deaf")
	short.Lifetime = time.Second
	_, err = client.Start(t.Context(), 1, short)
	require.ErrorContains(t, err, "raise Lifetime")
	require.Empty(t, fake.Running())

	full := testConfig(t, "serve")
	fake.Fail("SandboxCreate", status.Error(codes.FailedPrecondition, "no GPU of this kind in your plan"))
	_, err = client.Start(t.Context(), 2, full)
	require.ErrorContains(t, err, "no GPU of this kind in your plan")
	require.Empty(t, fake.Running(), "the other sandbox too")

	poor := testConfig(t, "serve")
	poor.Secrets = []string{"none-such"}
	_, err = client.Start(t.Context(), 1, poor)
	require.ErrorIs(t, err, modal.ErrNotFound)
	require.ErrorContains(t, err, "modal secret create none-such HF_TOKEN=…")

	_, err = client.Start(t.Context(), 0, modal.Config{GPU: "A40"})
	require.ErrorIs(t, err, modal.ErrConfig)
	require.ErrorContains(t, err, "the number of sandboxes is 0")
	missing := testConfig(t, "serve")
	missing.Program = filepath.Join(t.TempDir(), "no-such")
	_, err = client.Start(t.Context(), 1, missing)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The end of the context of Start ends the sandboxes, whether they are ready or not.
func TestContextEndsSandboxes(t *testing.T) {
	fake, client := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	fleet, err := client.Start(ctx, 2, testConfig(t, "serve"))
	require.NoError(t, err)
	require.Len(t, fake.Running(), 2)
	cancel()
	require.Eventually(t, func() bool { return len(fake.Running()) == 0 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, fleet.Close())

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	deaf := testConfig(t, "deaf")
	go func() {
		_, err := client.Start(ctx, 2, deaf)
		ended <- err
	}()
	require.Eventually(t, func() bool { return len(fake.Running()) == 2 }, time.Minute, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Empty(t, fake.Running())
}

// What a process has left that did not end its fleets is found by the fleets' names, or by the app; others' sandboxes are let alone.
func TestReap(t *testing.T) {
	fake, client := open(t)
	leave := func(fleet string, n int) {
		t.Helper()
		cfg := testConfig(t, "serve")
		cfg.Fleet, cfg.GPU = fleet, "T4"
		f, err := client.Start(context.WithoutCancel(t.Context()), n, cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
	}
	ids, err := client.Reap(t.Context(), "", "")
	require.NoError(t, err)
	require.Empty(t, ids, "where there is no app nothing runs")
	leave("nightly", 5)
	leave("other", 1)
	require.Len(t, fake.Running(), 6)
	ids, err = client.Reap(t.Context(), "", "nightly")
	require.NoError(t, err)
	require.Len(t, ids, 5)
	require.Len(t, fake.Running(), 1)
	require.Equal(t, "other", fake.Running()[0].Tags["omnidocs-fleet"])
	ids, err = client.Reap(t.Context(), modal.DefaultApp, "")
	require.NoError(t, err)
	require.Len(t, ids, 1)
	require.Empty(t, fake.Running())
}

// A sandbox that is out of reach for a while gets pages again when it is not.
func TestFleetReadmits(t *testing.T) {
	fake, client := open(t)
	cfg := testConfig(t, "serve")
	cfg.Pool = textextraction.PoolOptions{Rest: 20 * time.Millisecond, MaxRest: 50 * time.Millisecond, EjectAfter: 1}
	fleet, err := client.Start(t.Context(), 2, cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, fleet.Close()) }()
	lost := fake.Running()[0].ID
	require.NoError(t, fake.Break(lost, true))
	well := func() bool {
		i := slices.IndexFunc(fleet.Workers(), func(w textextraction.WorkerStats) bool { return w.Name == lost })
		return fleet.Workers()[i].Well
	}
	for well() {
		for _, err := range fleet.Batch(t.Context(), numberedPages(4), textextraction.BatchOptions{}) {
			require.NoError(t, err)
		}
	}
	require.NoError(t, fake.Break(lost, false))
	for !well() {
		for _, err := range fleet.Batch(t.Context(), numberedPages(4), textextraction.BatchOptions{}) {
			require.NoError(t, err)
		}
	}
}

// The tunnel is public: who has not the fleet's token is not let in.
func TestTunnelAsksForToken(t *testing.T) {
	fake, client := open(t)
	fleet, err := client.Start(t.Context(), 1, testConfig(t, "serve"))
	require.NoError(t, err)
	defer func() { require.NoError(t, fleet.Close()) }()
	stranger, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextAPIConfig{
		Model: "x", APIBase: fleet.Addresses()[0] + "/v1", APIKey: "guess", MaxRetries: -1, ReadBlankPages: true, HTTPClient: fake.HTTPClient(),
	})
	require.NoError(t, err)
	for _, err := range stranger.Batch(t.Context(), numberedPages(1), textextraction.BatchOptions{}) {
		require.ErrorContains(t, err, http.StatusText(http.StatusUnauthorized))
	}
	require.NoError(t, stranger.Close())
}
