package modal

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	sdk "github.com/modal-labs/modal-client/go"
)

// DefaultDrain is how long [Workers.Close] waits for programs to end: longer than workers of omnidocs/jetstream take.
const DefaultDrain = 40 * time.Second

// WorkersOptions say what becomes of workers that die, and how they end. The zero value replaces none.
type WorkersOptions struct {
	// Replace is how many sandboxes that have died are replaced, all workers' together. One whose Lifetime is over has died, too. Zero
	// means none: a program that cannot run would be started for nothing.
	Replace int
	// Drain is how long [Workers.Close] waits for the programs to end when they have been sent SIGTERM. Zero means [DefaultDrain], less
	// that they are not asked: their sandboxes are ended at once.
	Drain time.Duration
}

// Workers are sandboxes whose program looks for its work by itself, at a queue for example: nothing is sent to them, and no port of theirs
// is open.
type Workers struct {
	group
	o        WorkersOptions
	close    func() error
	keeping  context.CancelFunc // of the replacing
	finished chan struct{}      // closed when nobody is replaced any more, and all that ran have ended

	left   int     // sandboxes that may be replaced yet
	deaths []error // all
	lost   []error // those that were not replaced
}

// StartWorkers starts n sandboxes that run a program which looks for its work by itself, and returns when all of them are made. Their
// programs may still load their models.
//
// Program is put into the image at /usr/local/bin/worker, and is found there if the image has it already; Args are its arguments, all of
// them, and what is secret is for Secrets and Env, which no list of processes shows. GPU, storage, environment, lifetime and names are as
// for a fleet. What says how a server is reached is an error here, and so is Model: the program is told its model in Args. Since nothing
// asks these sandboxes for anything, Modal would take them for idle however busy they are: they have no IdleTimeout.
//
// To be sent SIGTERM the image needs a shell, sh. Images without one want a Drain below zero.
//
// The sandboxes run until their programs end, until [Workers.Close], until ctx ends, or until their Lifetime is over: Modal sees to the
// last even if this process is killed, and [Client.Reap] finds them as it finds fleets.
func (c *Client) StartWorkers(ctx context.Context, n int, cfg Config, o WorkersOptions) (workers *Workers, err error) {
	f := cfg.serving()
	f.check(o.Replace >= 0, "Replace", o.Replace, "is negative")
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	p, err := cfg.checked(n, f)
	if err != nil {
		return nil, err
	}
	p.program, p.IdleTimeout = workerPath, 0
	if p.command = p.Command; len(p.command) == 0 {
		p.command = append([]string{workerPath}, p.Args...)
	}
	if o.Drain > 0 {
		p.command = append([]string{"sh", "-c", `echo $$ >` + pidFile + `; exec "$@"`, "sh"}, p.command...)
	}
	w := &Workers{group: group{client: c, plan: p}, o: o, left: o.Replace, finished: make(chan struct{})}
	w.close = sync.OnceValue(w.end)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err := c.prepare(ctx, &w.plan); err != nil {
		return nil, err
	}
	watching := w.watch(ctx)
	made := func(ctx context.Context, s *sandbox) error {
		c.o.Logger.InfoContext(ctx, "a worker has started", "sandbox", s.sb.SandboxID, "gpu", w.plan.gpu)
		return nil
	}
	if err := w.start(ctx, watching, n, made); err != nil {
		return nil, err
	}
	keeping, enough := context.WithCancel(watching)
	w.keeping = enough
	var keepers sync.WaitGroup
	for _, s := range w.list() {
		keepers.Go(func() { w.keep(keeping, watching, s) })
	}
	go func() {
		keepers.Wait()
		close(w.finished)
	}()
	w.bind(ctx, w.close)
	return w, nil
}

// serving are the fields of a config that are for servers alone, and are set.
func (c Config) serving() (f faults) {
	for _, field := range []struct {
		name  string
		value any
		why   string
	}{
		{"Model", c.Model, "a worker is told its model in Args"},
		{"Device", c.Device, "a worker is told its device in Args"},
		{"TensorParallel", c.TensorParallel, "a worker is told so in Args"},
		{"Slots", c.Slots, "a worker is told so in Args"},
		{"Port", c.Port, "a worker is not asked for anything"},
		{"ReadyPath", c.ReadyPath, "a worker is not asked for anything"},
		{"TokenEnv", c.TokenEnv, "a worker is not asked for anything"},
		{"Access", c.Access, "a worker is not asked for anything"},
		{"Timeout", c.Timeout, "it is the worker that bounds the reading of a page"},
		{"StartupTimeout", c.StartupTimeout, "nobody waits until a worker is ready"},
		{"IdleTimeout", c.IdleTimeout, "Modal would end workers that work"},
		{"Pool", c.Pool, "workers are no pool"},
		{"Reader", c.Reader, "a worker is told what it asks of its model in Args"},
	} {
		if v := reflect.ValueOf(field.value); !v.IsZero() {
			what := "set"
			if v.Kind() != reflect.Struct {
				what = fmt.Sprintf("%v", field.value)
			}
			f.check(false, field.name, what, field.why)
		}
	}
	return f
}

// keep follows a worker and those that replace it, until one ends well or there are no more.
func (w *Workers) keep(ctx, watching context.Context, s *sandbox) {
	for {
		select {
		case <-s.ended:
		case <-ctx.Done():
			return
		}
		if s.err.ExitCode == 0 || !w.replaces(s.err) {
			return
		}
		next, err := w.add(ctx, watching)
		if err != nil {
			if ctx.Err() == nil {
				w.lose(fmt.Errorf("%w\n\tit could not be replaced: %w", s.err, err))
			}
			return
		}
		w.client.o.Logger.InfoContext(ctx, "a worker is replaced", "sandbox", s.sb.SandboxID, "by", next.sb.SandboxID)
		s = next
	}
}

// replaces notes a death, and says whether another sandbox may take the place.
func (w *Workers) replaces(death error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaths = append(w.deaths, death)
	if w.left == 0 {
		w.lost = append(w.lost, death)
		return false
	}
	w.left--
	return true
}

func (w *Workers) lose(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client.o.Logger.Error("a worker is lost", "error", err)
	w.lost = append(w.lost, err)
}

// Running are the ids of the sandboxes that have not ended.
func (w *Workers) Running() []string {
	var ids []string
	for _, s := range w.list() {
		if !s.over() {
			ids = append(ids, s.sb.SandboxID)
		}
	}
	return ids
}

// Deaths are the sandboxes so far whose programs have not ended well, a [*SandboxError] each, whether they were replaced or not.
func (w *Workers) Deaths() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.deaths)
}

// Wait waits until no worker is left: until all programs have ended by themselves, or Close was called. Its error names those that have
// died and were not replaced, or is that of ctx. Who waits for what the workers do should wait for this as well: with no workers left it
// would wait for ever.
func (w *Workers) Wait(ctx context.Context) error {
	select {
	case <-w.finished:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.lost...)
}

// Close sends the programs SIGTERM, waits until they have ended, Drain at most, ends the sandboxes, and looks that none is left. What could
// not be ended is named in the error, and ends when its Lifetime is over.
func (w *Workers) Close() error { return w.close() }

func (w *Workers) end() error {
	if w.unbind != nil {
		w.unbind()
	}
	if w.keeping == nil { // not all were made
		return w.group.end()
	}
	w.keeping()
	<-w.finished // so that no more are made
	if w.o.Drain > 0 {
		ctx, stop := context.WithTimeout(context.Background(), w.o.Drain)
		defer stop()
		var draining sync.WaitGroup
		for _, s := range w.list() {
			if !s.over() {
				draining.Go(func() { s.drain(ctx) })
			}
		}
		draining.Wait()
	}
	return w.group.end()
}

// pidFile is where a worker's shell writes the number of the process that it becomes: which one Modal's own are before it is not known.
const pidFile = `"${TMPDIR:-/tmp}/omnidocs-worker.pid"`

// drain sends the program SIGTERM and waits for its end.
func (s *sandbox) drain(ctx context.Context) {
	if err := s.signal(ctx); err != nil && !s.over() {
		s.log.logger.WarnContext(ctx, "a worker could not be told to end, and is ended", "error", err)
		return
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.log.logger.WarnContext(ctx, "a worker did not end in time, and is ended: raise Drain")
	}
}

func (s *sandbox) signal(ctx context.Context) error {
	process, err := s.sb.Exec(ctx, []string{"sh", "-c", `kill -TERM "$(cat ` + pidFile + `)"`}, &sdk.SandboxExecParams{Stdout: sdk.Ignore, Stderr: sdk.Ignore})
	if err != nil {
		return wrapped(err)
	}
	// A program that ends at once may take its sandbox, with the shell, along.
	if code, err := process.Wait(ctx, nil); err == nil && code != 0 && code != exitKilled {
		return fmt.Errorf("kill ended with code %d", code)
	}
	return nil
}
