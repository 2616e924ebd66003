package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// download loads a model from a hub that stops sending, then again, and then from one that wants a token.
func download(ctx context.Context, f flags, out io.Writer) (err error) {
	hub, end, err := startHub()
	if err != nil {
		return err
	}
	defer end()
	dir, err := os.MkdirTemp("", "omnidocs-models-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	hub.stalls = 1
	fmt.Fprintln(out, "The hub stops in the middle of the weights. By itself the library gives up a connection that brings nothing for a")
	fmt.Fprintf(out, "minute, and asks for the rest, five times. Here the program is less patient (%s):\n", f.patience)
	if err := fetch(ctx, dir, f.patience, out); err == nil {
		return errors.New("a download that stood still was not given up")
	} else {
		fmt.Fprintf(out, "  error: %v\n", err)
	}
	fmt.Fprintln(out, "What had come is kept. Started again it goes on from there, and what has come is checked against the hub's hash:")
	if err := fetch(ctx, dir, time.Minute, out); err != nil {
		return err
	}
	for _, asked := range hub.requests {
		fmt.Fprintf(out, "  the hub was asked for %s\n", asked)
	}

	hub.gated = true
	fmt.Fprintln(out, "A model that wants a token, without one:")
	other, err := os.MkdirTemp("", "omnidocs-models-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(other)) }()
	if err := fetch(ctx, other, time.Minute, out); err == nil {
		return errors.New("a gated model was loaded without a token")
	} else {
		fmt.Fprintf(out, "  error: %v\n", err)
	}
	fmt.Fprintln(out, "One that is in the cache asks the hub for nothing:")
	return fetch(ctx, dir, time.Minute, out)
}

// errStuck is why a download is given up.
var errStuck = errors.New("the download brings nothing any more")

// fetch loads the hub's model, and gives up when nothing has come for so long. Progress is called as bytes come: a program's watchdog.
func fetch(ctx context.Context, dir string, patience time.Duration, out io.Writer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watchdog := time.AfterFunc(patience, func() { stop(errStuck) })
	defer watchdog.Stop()
	var last textextraction.LoadProgress
	x, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
		Model: hubModel, Device: "go", CacheDir: dir,
		Progress: func(p textextraction.LoadProgress) {
			watchdog.Reset(patience)
			last = p
		},
	})
	if err != nil {
		if last.Total > 0 {
			fmt.Fprintf(out, "  stands at: %s %s, %d %%\n", last.Stage, last.File, 100*last.Done/last.Total)
		}
		return err
	}
	watchdog.Stop()
	fmt.Fprintf(out, "  loaded %s\n", hubModel)
	return x.Close()
}
