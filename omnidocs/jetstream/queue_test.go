package jetstream_test

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
)

// TestJob reads documents with three workers, and again.
func TestJob(t *testing.T) {
	ctx := guard(t)
	server := serve(t)
	q := dial(t, server.URL(), jetstream.Config{})
	ex := &fake{do: func(_ context.Context, page, attempt int) error {
		switch {
		case page == 13:
			return errBad
		case page == 14 && attempt < 5:
			return passingError{} // for one worker's attempts, and one more
		}
		return nil
	}}
	for range 3 {
		hire(t, dial(t, server.URL(), jetstream.Config{}), ex, jetstream.WorkerOptions{Parallel: 2, CostPerHour: 3600 * 1000})
	}
	documents := jetstream.Documents(drawnSource(0, 5), drawnSource(10, 7), drawnSource(100, 1), jetstream.Source{Kind: "drawn", Name: "nonsense"}, jetstream.URL("ftp://x"))
	job, err := q.Submit(ctx, "first", documents, jetstream.JobOptions{PagesPerTask: 3})
	require.NoError(t, err)
	require.Equal(t, 5, job.Documents)
	_, err = q.Submit(ctx, "first", documents, jetstream.JobOptions{})
	require.ErrorIs(t, err, jetstream.ErrJobExists)

	status, err := q.Wait(ctx, "first", nil)
	require.NoError(t, err)
	require.True(t, status.Done())
	require.Equal(t, 5, status.Opened)
	require.Equal(t, 2, status.DocumentsFailed)
	require.Equal(t, 13, status.Pages)
	require.Equal(t, 13, status.Ended)
	require.Equal(t, 1, status.Failed)
	require.Zero(t, status.Remaining)
	require.Positive(t, status.Cost)
	require.EqualValues(t, 12*10, status.PromptTokens)
	require.EqualValues(t, 12*5, status.CompletionTokens)

	all := outcomes(t, q, "first")
	require.Len(t, all, 13)
	for at, o := range all {
		page := []int{0, 10, 100}[at[0]] + at[1]
		if page == 13 {
			require.Equal(t, errBad.Error(), o.Fault.Message)
			require.Empty(t, o.Key)
			continue
		}
		require.Nil(t, o.Fault)
		r, err := q.Result(ctx, o)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("# Page %d\n\nIt says <%d>.", page, page*page), r.Content)
		require.NotEmpty(t, r.Worker)
	}
	dead := letters(t, q, "first")
	require.Len(t, dead, 3)
	require.Equal(t, errBad.Error(), dead["1.3"].Fault.Message)
	require.Contains(t, dead["3.0"].Fault.Message, `drawn: "nonsense"`)
	require.Equal(t, "url_refused", dead["4.0"].Fault.Kind)

	// The same pages, in other documents of another job: none is read again but the one that failed.
	before := ex.reads()
	_, err = q.Submit(ctx, "second", jetstream.Documents(drawnSource(0, 17)), jetstream.JobOptions{})
	require.NoError(t, err)
	status, err = q.Wait(ctx, "second", nil)
	require.NoError(t, err)
	require.Equal(t, 12-1, status.Resumed)
	require.Equal(t, before+17-11, ex.reads())

	found, err := q.Jobs(ctx)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.NoError(t, q.Forget(ctx, "first"))
	_, err = q.Status(ctx, "first")
	require.ErrorIs(t, err, jetstream.ErrNoJob)
	require.Empty(t, letters(t, q, "first"))
}

// TestRemote holds a folder's job on the queue against one in this process: the files are the same, byte for byte.
func TestRemote(t *testing.T) {
	ctx := guard(t)
	in := t.TempDir()
	for i := range 6 {
		draw(t, 20+i, in, fmt.Sprintf("%d.png", i))
	}
	draw(t, 13, in, "bad.png")
	draw(t, 30, in, "below", "0.png")
	bad := func(_ context.Context, page, _ int) error {
		if page == 13 {
			return errBad
		}
		return nil
	}
	options := func(out string) jobs.DirectoryOptions {
		return jobs.DirectoryOptions{
			Files: omnidocs.BatchOptions{Pattern: "*.png", Recursive: true}, OutputDir: out, Outputs: []jobs.Output{jobs.JSON, jobs.JSONL, jobs.Markdown},
			Options: jobs.Options{Retry: jobs.Retry{Attempts: 1}},
		}
	}
	local := t.TempDir()
	want, err := jobs.ProcessDirectory(ctx, in, &fake{do: bad}, options(local))
	require.NoError(t, err)

	for _, upload := range []bool{false, true} {
		t.Run(fmt.Sprint("upload=", upload), func(t *testing.T) {
			q := dial(t, serve(t).URL(), jetstream.Config{}) //nolint:contextcheck // it lives as long as the test
			ex := &fake{do: bad}
			opts := jetstream.WorkerOptions{}
			if !upload {
				opts.FileRoots = []string{in}
			}
			for range 2 {
				hire(t, q, ex, opts) //nolint:contextcheck // as above
			}
			read := func(out string) (*jobs.BatchResult, jobs.Progress, jetstream.Job) {
				o := options(out)
				var last jobs.Progress
				var job jetstream.Job
				o.Progress = func(p jobs.Progress) { last = p }
				o.Remote = q.Remote(jetstream.RemoteOptions{Upload: upload, Submitted: func(j jetstream.Job) { job = j }})
				got, err := jobs.ProcessDirectory(ctx, in, nil, o)
				require.NoError(t, err)
				return got, last, job
			}
			out := t.TempDir()
			got, progress, job := read(out)
			require.Equal(t, want.IDs(), got.IDs())
			require.Equal(t, want.TotalPages(), got.TotalPages())
			require.Equal(t, 1, got.FailedPages())
			require.Equal(t, 8, progress.Done)
			require.Equal(t, 8, progress.DocumentsDone)
			require.Equal(t, files(t, local), files(t, out))

			// Again: another job, since that one has ended; only the page that failed is read.
			before := ex.reads()
			again, _, other := read(t.TempDir())
			require.NotEqual(t, job.ID, other.ID)
			require.Equal(t, before+1, ex.reads())
			for _, d := range again.All() {
				require.True(t, d.Pages()[0].Resumed || d.FailedPages() == 1)
			}
		})
	}
}

// TestRemoteComesBack ends a submitter half way; another one follows the same job.
func TestRemoteComesBack(t *testing.T) {
	in := t.TempDir()
	for i := range 4 {
		draw(t, i, in, fmt.Sprintf("%d.png", i))
	}
	q := dial(t, serve(t).URL(), jetstream.Config{})
	proceed := make(chan struct{})
	ex := &fake{do: func(ctx context.Context, page, _ int) error {
		if page == 3 {
			select {
			case <-proceed:
			case <-ctx.Done():
			}
		}
		return nil
	}}
	hire(t, q, ex, jetstream.WorkerOptions{FileRoots: []string{in}})
	var ids []string
	read := func(ctx context.Context, progress func(jobs.Progress)) (*jobs.BatchResult, error) {
		return jobs.ProcessDirectory(ctx, in, nil, jobs.DirectoryOptions{
			Files: omnidocs.BatchOptions{Pattern: "*.png"}, Options: jobs.Options{Progress: progress},
			Remote: q.Remote(jetstream.RemoteOptions{Submitted: func(j jetstream.Job) {
				if ids = append(ids, j.ID); len(ids) == 2 {
					close(proceed)
				}
			}}),
		})
	}
	ctx, cancel := context.WithCancel(guard(t))
	part, err := read(ctx, func(p jobs.Progress) {
		if p.Done == 3 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, part.TotalPages())
	all, err := read(guard(t), nil)
	require.NoError(t, err)
	require.Equal(t, 4, all.TotalPages())
	require.Equal(t, 4, ex.reads())
	require.Equal(t, 3, resumed(all))
	// When it has come to its end, and well, it is the same job still.
	again, err := read(guard(t), nil)
	require.NoError(t, err)
	require.Equal(t, 4, resumed(again))
	require.Equal(t, 4, ex.reads())
	require.Len(t, ids, 3)
	require.Equal(t, ids[0], ids[1])
	require.Equal(t, ids[0], ids[2])
}

func resumed(b *jobs.BatchResult) (n int) {
	for _, d := range b.All() {
		for _, p := range d.Pages() {
			if p.Resumed {
				n++
			}
		}
	}
	return n
}

// TestControl pauses, resumes and cancels.
func TestControl(t *testing.T) {
	ctx := guard(t)
	q := dial(t, serve(t).URL(), jetstream.Config{})
	begun := make(chan int, 10_000)
	proceed := make(chan struct{})
	ex := &fake{do: func(ctx context.Context, page, _ int) error {
		begun <- page
		select {
		case <-proceed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	hire(t, q, ex, jetstream.WorkerOptions{Parallel: 2, Prefetch: 8})
	_, err := q.Submit(ctx, "job", jetstream.Documents(drawnSource(0, 1000), drawnSource(1000, 1000)), jetstream.JobOptions{})
	require.NoError(t, err)
	<-begun
	<-begun
	require.NoError(t, q.Pause(ctx, "job"))
	proceed <- struct{}{}
	proceed <- struct{}{}
	// Another job comes through, though the first has more than enough to do.
	_, err = q.Submit(ctx, "other", jetstream.Documents(drawnSource(5000, 1)), jetstream.JobOptions{})
	require.NoError(t, err)
	for page := range begun {
		proceed <- struct{}{}
		if page == 5000 { // what had been begun before comes to its end
			break
		}
	}
	_, err = q.Wait(ctx, "other", nil)
	require.NoError(t, err)
	status, err := q.Status(ctx, "job")
	require.NoError(t, err)
	require.Equal(t, jetstream.Paused, status.State)
	require.Less(t, status.Ended, 2000)
	require.NoError(t, q.Resume(ctx, "job"))
	<-begun
	require.NoError(t, q.Cancel(ctx, "job"))
	_, err = q.Wait(ctx, "job", nil)
	require.ErrorIs(t, err, jetstream.ErrCanceled)
	require.ErrorIs(t, q.Resume(ctx, "job"), jetstream.ErrCanceled)
	close(proceed)
	_, err = q.Submit(ctx, "last", jetstream.Documents(drawnSource(0, 20), drawnSource(1000, 20)), jetstream.JobOptions{})
	require.NoError(t, err)
	status, err = q.Wait(ctx, "last", nil)
	require.NoError(t, err)
	require.Equal(t, 40, status.Ended)
	require.Empty(t, letters(t, q, ""))
}

// TestResume pauses a job with more tasks than are taken up at a time, and resumes it.
func TestResume(t *testing.T) {
	ctx := guard(t)
	q := dial(t, serve(t).URL(), jetstream.Config{})
	_, err := q.Submit(ctx, "job", jetstream.Documents(drawnSource(0, 700)), jetstream.JobOptions{})
	require.NoError(t, err)
	var once sync.Once
	hire(t, q, &fake{}, jetstream.WorkerOptions{OnPage: func(string, jetstream.Outcome) {
		once.Do(func() { require.NoError(t, q.Pause(ctx, "job")) })
	}})
	// A job that comes later is read when all of the first has been set aside.
	_, err = q.Submit(ctx, "low", jetstream.Documents(drawnSource(1000, 1)), jetstream.JobOptions{Priority: jetstream.Low})
	require.NoError(t, err)
	_, err = q.Wait(ctx, "low", nil)
	require.NoError(t, err)
	status, err := q.Status(ctx, "job")
	require.NoError(t, err)
	require.Less(t, status.Ended, 700)
	require.NoError(t, q.Resume(ctx, "job"))
	status, err = q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	require.Equal(t, 700, status.Ended)
	require.Zero(t, status.Failed)
}

// TestPriority has a worker that begins when jobs of all priorities wait.
func TestPriority(t *testing.T) {
	ctx := guard(t)
	q := dial(t, serve(t).URL(), jetstream.Config{})
	for i, p := range []jetstream.Priority{jetstream.Low, jetstream.Normal, jetstream.High} {
		_, err := q.Submit(ctx, string(p), jetstream.Documents(drawnSource(100*i, 5), drawnSource(100*i+50, 5)), jetstream.JobOptions{Priority: p})
		require.NoError(t, err)
	}
	var mu sync.Mutex
	var order []string
	hire(t, q, &fake{}, jetstream.WorkerOptions{Parallel: 1, OnPage: func(job string, _ jetstream.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, job)
	}})
	_, err := q.Wait(ctx, "low", nil)
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, order, 30)
	for i, job := range order {
		require.Equal(t, []string{"high", "normal", "low"}[i/10], job)
	}
}

// TestBadMessages puts messages into the queue that nobody can understand.
func TestBadMessages(t *testing.T) {
	ctx := guard(t)
	server := serve(t)
	q := dial(t, server.URL(), jetstream.Config{})
	nc, err := nats.Connect(server.URL())
	require.NoError(t, err)
	defer nc.Close()
	api, err := js.New(nc)
	require.NoError(t, err)
	bad := map[string]string{
		"not JSON": "invalid character",
		`{"v":1}`:  "job",
		`{"v":2,"type":"pages","job":"x","source":{"kind":"file","name":"x"}}`:                    "version 2",
		`{"v":1,"type":"pages","job":"x","source":{"kind":"file","name":"x"},"page":7}`:           "unknown field",
		`{"v":1,"type":"pages","job":"x","source":{"kind":"file","name":"x"},"first":3,"last":1}`: "in this order",
		`{"v":1,"type":"dance","job":"x","source":{"kind":"file","name":"x"}}`:                    "dance",
		`{"v":1,"type":"pages","job":"x.>","source":{"kind":"file","name":"x"}}`:                  "letters",
		`{"v":1,"type":"pages","job":"x","source":{"kind":"file","name":"x"}} and more`:           "behind",
		`{"v":1,"type":"collection","job":""}`:                                                    "without collection",
		`{"v":1,"type":"pages","job":"nowhere","source":{"kind":"file","name":"x"}}`:              "no such job",
	}
	for m := range bad {
		_, err := api.Publish(ctx, "omnidocs.work.normal.pages.x", []byte(m))
		require.NoError(t, err)
	}
	hire(t, q, &fake{}, jetstream.WorkerOptions{})
	_, err = q.Submit(ctx, "job", jetstream.Documents(drawnSource(0, 1)), jetstream.JobOptions{Priority: jetstream.Low})
	require.NoError(t, err)
	_, err = q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	var messages []string
	require.Eventually(t, func() bool {
		messages = nil
		for l, err := range q.DeadLetters(ctx, "") {
			require.NoError(t, err)
			if l.Task == nil {
				require.Contains(t, l.Fault.Message, bad[string(l.Message)])
				require.Equal(t, "omnidocs.work.normal.pages.x", l.Subject)
			} else {
				require.Contains(t, l.Fault.Message, "no such job")
			}
			messages = append(messages, l.Fault.Message)
		}
		return len(messages) == len(bad)
	}, guardTime, poll)
}

// TestSources opens files where they may be, and objects.
func TestSources(t *testing.T) {
	ctx := guard(t)
	q := dial(t, serve(t).URL(), jetstream.Config{})
	in, secret := t.TempDir(), t.TempDir()
	draw(t, 1, in, "a.png")
	draw(t, 2, secret, "b.png")
	source, err := q.Upload(ctx, "letters/c.png", filepath.Join(secret, "b.png"))
	require.NoError(t, err)
	_, err = q.Upload(ctx, "results/x", filepath.Join(secret, "b.png"))
	require.ErrorIs(t, err, jetstream.ErrConfig)
	hire(t, q, &fake{}, jetstream.WorkerOptions{FileRoots: []string{in}})
	_, err = q.Submit(ctx, "job", jetstream.Documents(
		jetstream.File(filepath.Join(in, "a.png")), jetstream.File(filepath.Join(secret, "b.png")), jetstream.File(in+"/../"+filepath.Base(secret)+"/b.png"),
		source, jetstream.Object("nothing"), jetstream.File(filepath.Join(in, "nothing.png")), jetstream.Source{Kind: "s3", Name: "x"},
	), jetstream.JobOptions{})
	require.NoError(t, err)
	_, err = q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	all := outcomes(t, q, "job")
	require.Len(t, all, 2)
	require.Contains(t, all, [2]int{0, 0})
	require.Contains(t, all, [2]int{3, 0})
	dead := letters(t, q, "job")
	for key, kind := range map[string]error{
		"1.0": jetstream.ErrRefused, "2.0": jetstream.ErrRefused, "4.0": fs.ErrNotExist, "5.0": fs.ErrNotExist, "6.0": jetstream.ErrRefused,
	} {
		fault := dead[key].Fault
		require.ErrorIs(t, &fault, kind, key)
	}
}
