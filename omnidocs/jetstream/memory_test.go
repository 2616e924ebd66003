package jetstream_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

// TestSubjects reads some pages, and four times as many: the server has as many subjects then, which are what it keeps in memory. Every tenth page fails. The index, which has a
// subject for each of its buckets and gets no more of them than 65,536, is full from the beginning on.
func TestSubjects(t *testing.T) {
	const pages = 400
	few, many := subjects(t, pages), subjects(t, 4*pages)
	require.GreaterOrEqual(t, few["omnidocs-index"], uint64(1<<16))
	delete(few, "KV_omnidocs-status") // has one for a job that is long enough
	require.LessOrEqual(t, many["KV_omnidocs-status"], uint64(1))
	delete(many, "KV_omnidocs-status")
	require.Equal(t, few, many)
}

// subjects reads pages, and returns how many subjects each stream has then.
func subjects(t *testing.T, pages int) map[string]uint64 {
	t.Helper()
	const perDocument = 50
	ctx := guard(t)
	url := serve(t).URL()
	q := dial(t, url, jetstream.Config{}) //nolint:contextcheck // it lives as long as the test
	api := streams(t, url)
	for bucket := range 1 << 16 {
		_, err := api.PublishAsync(fmt.Sprintf("omnidocs.index.%04x", bucket), []byte{1}, js.WithStallWait(guardTime))
		require.NoError(t, err)
	}
	<-api.PublishAsyncComplete()
	ex := &fake{do: func(_ context.Context, page, _ int) error {
		if page%10 == 3 {
			return errBad
		}
		return nil
	}}
	for range 2 {
		hire(t, q, ex, jetstream.WorkerOptions{Parallel: 16}) //nolint:contextcheck // as above
	}
	submitDrawn(t, q, "job", 0, pages, perDocument)
	status, err := q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	require.Equal(t, pages, status.Ended)
	require.Equal(t, pages/10, status.Failed)
	require.Len(t, letters(t, q, "job"), pages/10)
	require.Equal(t, pages-pages/10, storedResults(t, url))
	all := map[string]uint64{}
	require.Eventually(t, func() bool { // the last acknowledgments are on their way
		for info := range api.ListStreams(ctx).Info() {
			all[info.Config.Name] = info.State.NumSubjects
		}
		return all["omnidocs-work"] == 0
	}, guardTime, poll)
	return all
}

func submitDrawn(t *testing.T, q *jetstream.Queue, job string, first, pages, perDocument int) {
	t.Helper()
	var sources []jetstream.Source
	for n := 0; n < pages; n += perDocument {
		sources = append(sources, drawnSource(first+n, min(perDocument, pages-n)))
	}
	_, err := q.Submit(t.Context(), job, jetstream.Documents(sources...), jetstream.JobOptions{})
	require.NoError(t, err)
}

// TestMemory tells how much memory a server of its own has, with a tenth, half, and all of OMNIDOCS_PAGES kept: at once, and when it has let go of the blocks of its files. Results
// are on the server, which then has an index of them, or elsewhere, as in a bucket of objects.
func TestMemory(t *testing.T) {
	pages, err := strconv.Atoi(os.Getenv("OMNIDOCS_PAGES"))
	if err != nil {
		t.Skip("OMNIDOCS_PAGES says how many")
	}
	t.Run("results on the server", func(t *testing.T) { testMemory(t, pages, jetstream.Config{}, 24<<20) })
	t.Run("results elsewhere", func(t *testing.T) { testMemory(t, pages, jetstream.Config{Store: elsewhere{}}, 4<<20) })
}

// elsewhere stands for a store that is no part of the server.
type elsewhere struct{}

func (elsewhere) Get(context.Context, journal.Key) ([]byte, bool, error) { return nil, false, nil }

func (elsewhere) Create(context.Context, journal.Key, []byte) (bool, error) { return true, nil }

// testMemory lets the memory at rest grow by so many bytes, however many pages there are: with results on the server, what 65,536 subjects take and as much again.
func testMemory(t *testing.T, pages int, config jetstream.Config, growth int) {
	t.Helper()
	port := freePort(t)
	server, heap := serverProcess(t, port, t.TempDir())
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	q := dial(t, url, config)
	tell := func(kept int, took time.Duration) (atRest int) {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
		_, rss, _ := strings.Cut(string(data), "VmRSS:")
		rss, _, _ = strings.Cut(strings.TrimSpace(rss), "\n")
		atOnce := heap()
		time.Sleep(12 * time.Second) // it holds blocks for 10 seconds
		atRest = heap()
		t.Logf("%d pages kept: the server has %s in memory, %d kB in use, %d kB after 12 s without work; the last of them took %v",
			kept, rss, atOnce>>10, atRest>>10, took.Round(time.Millisecond))
		return atRest
	}
	for range 2 {
		hire(t, dial(t, url, config), instant{}, jetstream.WorkerOptions{Parallel: 64, Prefetch: 128})
	}
	kept, first := 0, 0
	for i, next := range []int{pages / 10, pages / 2, pages} {
		begun := time.Now()
		job := fmt.Sprint("job-", i)
		submitDrawn(t, q, job, kept, next-kept, 100)
		_, err := q.Wait(guard(t), job, nil)
		require.NoError(t, err)
		kept = next
		atRest := tell(kept, time.Since(begun))
		if first == 0 {
			first = atRest
		}
		require.Less(t, atRest, first+growth)
	}
}

// TestReadersLeaveNothing asks for a job's state, outcomes and dead letters: no consumer is left of it, of which a stream has a hundred at the most.
func TestReadersLeaveNothing(t *testing.T) {
	ctx := guard(t)
	url := serve(t).URL()
	q := dial(t, url, jetstream.Config{}) //nolint:contextcheck // it lives as long as the test
	//nolint:contextcheck // it ends with the test
	hire(t, q, &fake{do: func(context.Context, int, int) error { return errBad }}, jetstream.WorkerOptions{})
	_, err := q.Submit(ctx, "job", jetstream.Documents(drawnSource(0, 3)), jetstream.JobOptions{})
	require.NoError(t, err)
	_, err = q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	for range 3 {
		_, err := q.Status(ctx, "job")
		require.NoError(t, err)
		require.Len(t, outcomes(t, q, "job"), 3)
		require.Len(t, letters(t, q, "job"), 3)
	}
	for _, stream := range []string{"omnidocs-ledger", "omnidocs-dead"} {
		s, err := streams(t, url).Stream(ctx, stream)
		require.NoError(t, err)
		require.Zero(t, s.CachedInfo().State.Consumers, stream)
	}
}
