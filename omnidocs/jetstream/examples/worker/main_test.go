package main

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
)

// mainEnv makes the test binary the program.
const mainEnv = "OMNIDOCS_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestDrain sends a worker SIGTERM while it reads: it ends what it has and exits well, and another one does the rest without waiting for the queue to notice.
func TestDrain(t *testing.T) {
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer server.Close()
	// If a page were lost sight of, it would come back after an hour, and the test would not end.
	q, err := jetstream.Dial(t.Context(), server.URL(), jetstream.Config{AckWait: time.Hour})
	require.NoError(t, err)
	defer q.Close()
	in := t.TempDir()
	var sources []jetstream.Source
	for n := range 6 {
		p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SampleLetter(n)})
		require.NoError(t, err)
		var data bytes.Buffer
		require.NoError(t, png.Encode(&data, p.Image))
		sources = append(sources, jetstream.File(filepath.Join(in, string(rune('a'+n))+".png")))
		require.NoError(t, os.WriteFile(sources[n].Name, data.Bytes(), 0o600))
	}
	_, err = q.Submit(t.Context(), "job", jetstream.Documents(sources...), jetstream.JobOptions{})
	require.NoError(t, err)
	start := func() *exec.Cmd {
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), exe, "-nats", server.URL(), "-files", in, "-parallel", "2")
		cmd.Env = append(os.Environ(), mainEnv+"=1")
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd
	}
	first := start()
	_, err = q.Wait(t.Context(), "job", func(s jetstream.Status) {
		if s.Ended >= 1 && first != nil {
			require.NoError(t, first.Process.Signal(syscall.SIGTERM))
			require.NoError(t, first.Wait(), "it exits with 0")
			first = nil
			start()
		}
	})
	require.NoError(t, err)
	n := 0
	for o, err := range q.Outcomes(t.Context(), "job") {
		require.NoError(t, err)
		require.Nil(t, o.Fault)
		n++
	}
	require.Equal(t, len(sources), n)
}

// TestEnvironment has the server and the name from the environment, where no flags say them.
func TestEnvironment(t *testing.T) {
	t.Setenv("NATS_URL", "tls://queue:4222")
	t.Setenv("MODAL_SANDBOX_ID", "sb-1")
	f, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, "tls://queue:4222 sb-1", f.nats+" "+f.name)
	f, err = parse([]string{"-nats", "nats://other:4222", "-name", "me"})
	require.NoError(t, err)
	require.Equal(t, "nats://other:4222 me", f.nats+" "+f.name)
	t.Setenv("NATS_URL", "")
	f, err = parse(nil)
	require.NoError(t, err)
	require.Equal(t, "nats://127.0.0.1:4222", f.nats)
}

// scaledObject are the fields of KEDA's keda.sh/v1alpha1 ScaledObject that the manifest may use, as its documentation has them: its Go module brings some
// hundred others.
type scaledObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		PollingInterval int `json:"pollingInterval"`
		CooldownPeriod  int `json:"cooldownPeriod"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		Triggers        []struct {
			Type     string `json:"type"`
			Metadata struct {
				Endpoint     string `json:"natsServerMonitoringEndpoint"`
				Account      string `json:"account"`
				Stream       string `json:"stream"`
				Consumer     string `json:"consumer"`
				LagThreshold string `json:"lagThreshold"`
			} `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// TestManifests reads deployment.yaml with the types of Kubernetes, which know what they do not know, and holds it against the program and a queue.
func TestManifests(t *testing.T) {
	data, err := os.ReadFile("deployment.yaml")
	require.NoError(t, err)
	parts := bytes.Split(data, []byte("\n---\n"))
	require.Len(t, parts, 2)
	var deployment appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(parts[0], &deployment))
	var scaled scaledObject
	require.NoError(t, yaml.UnmarshalStrict(parts[1], &scaled))
	require.Equal(t, "apps/v1 Deployment", deployment.APIVersion+" "+deployment.Kind)
	require.Equal(t, "keda.sh/v1alpha1 ScaledObject", scaled.APIVersion+" "+scaled.Kind)

	pod := deployment.Spec.Template
	require.Equal(t, deployment.Spec.Selector.MatchLabels, pod.Labels)
	container := pod.Spec.Containers[0]
	f, err := parse(container.Args)
	require.NoError(t, err)
	require.Less(t, f.drain, time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second)
	gpus := container.Resources.Limits["nvidia.com/gpu"]
	require.EqualValues(t, 1, gpus.Value())
	mounted := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		mounted[v.Name] = false
	}
	for _, m := range container.VolumeMounts {
		require.Contains(t, mounted, m.Name)
		mounted[m.Name] = true
	}
	for name, is := range mounted {
		require.True(t, is, "volume %s is mounted nowhere", name)
	}

	require.Equal(t, deployment.Name, scaled.Spec.ScaleTargetRef.Name)
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer server.Close()
	nc, err := jetstream.Connect(server.URL())
	require.NoError(t, err)
	defer nc.Close()
	_, err = jetstream.Open(t.Context(), nc, jetstream.Config{Name: f.queue})
	require.NoError(t, err)
	api, err := js.New(nc)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, trigger := range scaled.Spec.Triggers {
		require.Equal(t, "nats-jetstream", trigger.Type)
		_, err := api.Consumer(t.Context(), trigger.Metadata.Stream, trigger.Metadata.Consumer)
		require.NoError(t, err, trigger.Metadata.Consumer)
		seen[trigger.Metadata.Consumer] = true
	}
	stream, err := api.Stream(t.Context(), scaled.Spec.Triggers[0].Metadata.Stream)
	require.NoError(t, err)
	for name := range stream.ConsumerNames(t.Context()).Name() {
		require.True(t, seen[name], "nothing scales with %s", name)
	}
}
