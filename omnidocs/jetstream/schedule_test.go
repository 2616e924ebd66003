package jetstream_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
)

// TestSchedule has the server make jobs of a folder, and of the objects, by itself.
func TestSchedule(t *testing.T) {
	ctx := guard(t)
	q := dial(t, serve(t).URL(), jetstream.Config{})
	in := t.TempDir()
	draw(t, 1, in, "a.png")
	draw(t, 2, in, "below", "b.png")
	draw(t, 3, in, "c.txt")
	_, err := q.Upload(ctx, "inbox/d.png", in+"/a.png")
	require.NoError(t, err)
	ex := &fake{}
	hire(t, q, ex, jetstream.WorkerOptions{FileRoots: []string{in}})
	require.NoError(t, q.Schedule(ctx, jetstream.Schedule{
		Name: "folder", Cron: "@every 1s", Collection: jetstream.Collection{Source: jetstream.File(in), Pattern: "*.png"},
	}))
	require.NoError(t, q.Schedule(ctx, jetstream.Schedule{
		Name: "objects", Cron: "* * * * * *", TimeZone: "America/New_York",
		Collection: jetstream.Collection{Job: "mail", Source: jetstream.Object("inbox/*"), Pattern: "*.png", Options: jetstream.JobOptions{Priority: jetstream.High}},
	}))
	counts := map[string]int{}
	require.Eventually(t, func() bool {
		found, err := q.Jobs(ctx)
		require.NoError(t, err)
		clear(counts)
		for _, job := range found {
			name := job.ID[:4]
			status, err := q.Wait(ctx, job.ID, nil)
			require.NoError(t, err)
			require.Equal(t, map[string]int{"fold": 2, "mail": 1}[name], status.Ended, job.ID)
			counts[name]++
		}
		return counts["fold"] >= 2 && counts["mail"] >= 2
	}, guardTime, poll)
	require.NoError(t, q.Unschedule(ctx, "folder"))
	require.NoError(t, q.Unschedule(ctx, "objects"))

	for name, s := range map[string]jetstream.Schedule{
		"no name":   {Cron: "@daily", Collection: jetstream.Collection{Source: jetstream.File(in)}},
		"no source": {Name: "x", Cron: "@daily"},
		"a URL":     {Name: "x", Cron: "@daily", Collection: jetstream.Collection{Source: jetstream.URL("https://x")}},
		"options":   {Name: "x", Cron: "@daily", Collection: jetstream.Collection{Source: jetstream.File(in), Options: jetstream.JobOptions{Attempts: -1}}},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, q.Schedule(ctx, s), jetstream.ErrConfig) })
	}
	require.ErrorContains(t, q.Schedule(ctx, jetstream.Schedule{
		Name: "x", Cron: "whenever", Collection: jetstream.Collection{Source: jetstream.File(in)},
	}), "whenever")
}
