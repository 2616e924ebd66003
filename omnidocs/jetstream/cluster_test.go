package jetstream_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
)

// TestCluster has three servers, each with a copy of everything. The one that leads the tasks goes away in the middle of a job: the job goes on.
func TestCluster(t *testing.T) {
	const documents, pages = 20, 15
	ctx := guard(t)
	var peers []int
	for range 3 {
		peers = append(peers, freePort(t))
	}
	servers := map[string]*embedded.Server{}
	var urls []string
	for i, port := range peers {
		name := fmt.Sprintf("n%d", i)
		s, err := embedded.Start(embedded.Options{
			Dir: t.TempDir(), Cluster: embedded.Cluster{Name: "cluster", Server: name, Port: port, Peers: peers}, Wait: time.Minute,
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		servers[name] = s
		urls = append(urls, s.URL())
	}
	url := strings.Join(urls, ",")
	config := jetstream.Config{Replicas: 3, AckWait: 2 * time.Second}
	q := dial(t, url, config)
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	api, err := js.New(nc)
	require.NoError(t, err)
	leader := func() string {
		s, err := api.Stream(ctx, "omnidocs-work")
		require.NoError(t, err)
		info, err := s.Info(ctx)
		require.NoError(t, err)
		require.Equal(t, 3, info.Config.Replicas)
		return info.Cluster.Leader
	}
	// The first third is read before the server goes, the rest when it is gone.
	var begun atomic.Int64
	third, gone := make(chan struct{}), make(chan struct{})
	ex := &fake{do: func(ctx context.Context, _, _ int) error {
		switch n := begun.Add(1); {
		case n == documents*pages/3:
			close(third)
		case n > documents*pages/3:
			select {
			case <-gone:
			case <-ctx.Done():
			}
		}
		return nil
	}}
	for range 2 {
		hire(t, dial(t, url, config), ex, jetstream.WorkerOptions{Parallel: 4})
	}
	var sources []jetstream.Source
	for d := range documents {
		sources = append(sources, drawnSource(100*d, pages))
	}
	_, err = q.Submit(ctx, "job", jetstream.Documents(sources...), jetstream.JobOptions{})
	require.NoError(t, err)
	<-third
	first := leader()
	require.NoError(t, servers[first].Close())
	close(gone)
	status, err := q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	require.Equal(t, documents*pages, status.Ended)
	require.Zero(t, status.Failed)
	require.Len(t, outcomes(t, q, "job"), documents*pages)
	require.Empty(t, letters(t, q, ""))
	t.Logf("%s, which led, is gone; the job was done after %v", first, status.Elapsed.Round(time.Millisecond))
}
