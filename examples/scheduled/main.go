// Command scheduled is "Scheduled Processing" of the Python library's deployment guide, its daily job: what was dropped into an inbox is read, its text goes to results, the file to processed.
//
//	go run ./examples/scheduled                                         # one pass over letters that it draws
//	go run ./examples/scheduled -dir data -once                         # one pass, for the system's own cron
//	go run ./examples/scheduled -dir data -cron "0 0 * * *" -tz Europe/Berlin
//	go run ./examples/scheduled -dir data -watch                        # at once, as files come
//
// Any number of these may work on one folder, also of different kinds: every file is read once. Ctrl-C ends it; what it was reading is taken up by the next.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/inbox"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	dir, cron, tz, model, device string
	once, watch                  bool
	maxTokens                    int
}

func main() {
	var f flags
	flag.StringVar(&f.dir, "dir", "", "folder with inbox, results, processed and failed (default: a new one, with letters in its inbox)")
	flag.StringVar(&f.cron, "cron", "0 0 * * *", "when to read: minute, hour, day of the month, month, day of the week")
	flag.StringVar(&f.tz, "tz", "UTC", "where these are the times of, for example Europe/Berlin")
	flag.BoolVar(&f.once, "once", false, "read what is there, and end")
	flag.BoolVar(&f.watch, "watch", false, "read files as they come")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.IntVar(&f.maxTokens, "max-tokens", 0, "longest answer, in tokens (default: 8192)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scheduled:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	location, err := time.LoadLocation(f.tz)
	if err != nil {
		return err
	}
	if f.dir == "" {
		f.once = !f.watch
		if f.dir, err = os.MkdirTemp("", "omnidocs-inbox-"); err != nil {
			return err
		}
		if err := drop(f.dir, 3); err != nil {
			return err
		}
	}
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Model: f.model, Device: f.device, MaxNumSeqs: inbox.DefaultFiles, EnforceEager: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	box, err := inbox.Open(f.dir, ex, inbox.Options{
		Options: jobs.Options{Page: textextraction.Options{MaxNewTokens: f.maxTokens}},
		OnFile: func(r inbox.Result) {
			if r.Err != nil {
				fmt.Fprintf(out, "failed: %q: %v\n", r.FileName, r.Err)
				return
			}
			fmt.Fprintf(out, "read: %q, %d words, to %s\n", r.FileName, r.WordCount, r.ResultPath)
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close()) }()

	switch {
	case f.once:
		summary, err := box.Run(ctx)
		tell(out, summary, err)
		return err
	case f.watch:
		fmt.Fprintf(out, "watching %s\n", filepath.Join(f.dir, "inbox"))
		return box.Watch(ctx)
	}
	fmt.Fprintf(out, "reading %s at %q, %s\n", filepath.Join(f.dir, "inbox"), f.cron, location)
	return box.Schedule(ctx, inbox.Schedule{Cron: f.cron, Location: location, Done: func(s inbox.Summary, err error) { tell(out, s, err) }})
}

// tell tells what a pass did.
func tell(out io.Writer, s inbox.Summary, err error) {
	for _, problem := range s.Problems {
		fmt.Fprintln(out, "problem:", problem)
	}
	fmt.Fprintf(out, "%s: %d processed, %d failed, %d words, in %v\n", time.Now().Format(time.DateTime), s.Processed, s.Failed, s.Words, s.Elapsed.Round(10*time.Millisecond))
	if err != nil {
		fmt.Fprintln(out, "ended early:", err)
	}
}

// drop draws letters and puts them into the inbox: each is written elsewhere first, so that it is there whole or not at all.
func drop(dir string, letters int) error {
	if err := os.MkdirAll(filepath.Join(dir, "inbox"), 0o755); err != nil {
		return err
	}
	for n := range letters {
		p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SampleLetter(n)})
		if err != nil {
			return err
		}
		f, err := os.CreateTemp(dir, "letter-*.png")
		if err != nil {
			return err
		}
		if err := errors.Join(png.Encode(f, p.Image), f.Close()); err != nil {
			return err
		}
		old := time.Now().Add(-time.Hour) // so that nobody waits for more to be written to it
		if err := os.Chtimes(f.Name(), old, old); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), filepath.Join(dir, "inbox", fmt.Sprintf("letter-%d.png", n+1))); err != nil {
			return err
		}
	}
	return nil
}
