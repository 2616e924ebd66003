package bucket_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	_ "gocloud.dev/blob/fileblob" // the driver of file://

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/bucket"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
)

// A queue whose results are in a folder.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "results-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := bucket.Open(ctx, "file://"+filepath.ToSlash(dir), bucket.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	server, err := embedded.Start(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	q, err := jetstream.Dial(ctx, server.URL(), jetstream.Config{Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Close()

	ended := make(chan error)
	go func() {
		ended <- q.Work(ctx, widths{}, jetstream.WorkerOptions{Openers: map[string]jetstream.Opener{"blank": blank}})
	}()
	job, err := q.Submit(ctx, "letters", jetstream.Documents(jetstream.Source{Kind: "blank", Name: "letter"}), jetstream.JobOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := q.Wait(ctx, job.ID, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	objects, err := os.ReadDir(filepath.Join(dir, "results"))
	fmt.Println(status.Ended, "pages,", len(objects), "objects", err)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 20 pages, 20 objects <nil>
	// <nil>
}
