package jetstream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/freeport"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
)

// What makes the test binary a worker of the queue at a URL, or a server at a port with a folder, see TestMain.
const (
	workerEnv = "OMNIDOCS_TEST_WORKER"
	serverEnv = "OMNIDOCS_TEST_SERVER"
	dirEnv    = "OMNIDOCS_TEST_DIR"
)

// The pages that are special.
const (
	deadlyPage = 666 // kills whoever reads it
	badPage    = 13  // cannot be read
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(workerEnv) != "":
		err = workerChild(os.Getenv(workerEnv))
	case os.Getenv(serverEnv) != "":
		err = serverChild(os.Getenv(serverEnv), os.Getenv(dirEnv))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// workerChild reads pages until it is killed, and writes a line for each that it begins.
func workerChild(url string) error {
	ctx := context.Background()
	q, err := jetstream.Dial(ctx, url, jetstream.Config{})
	if err != nil {
		return err
	}
	ex := &fake{do: func(_ context.Context, page, _ int) error {
		fmt.Println(page)
		switch page {
		case badPage:
			return errBad
		case deadlyPage:
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			if err != nil {
				return err
			}
			select {}
		}
		return nil
	}}
	return q.Work(ctx, ex, jetstream.WorkerOptions{Parallel: 8, Prefetch: 24, Openers: map[string]jetstream.Opener{"drawn": drawn}})
}

func serverChild(port, dir string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	if _, err := embedded.Start(embedded.Options{Dir: dir, Port: n, Wait: time.Minute}); err != nil {
		return err
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); { // each asks for what is on the heap, in bytes
		runtime.GC()
		runtime.GC() // what is in pools goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(m.HeapAlloc)
	}
	select {}
}

// child starts the test binary as something else, and tells of each line that it writes. It is killed when the test ends.
func child(t *testing.T, in io.Reader, line func(*exec.Cmd, string), env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			line(cmd, lines.Text())
		}
		_ = cmd.Wait() // it was killed
		line(cmd, "")
	}()
	return cmd
}

// serverProcess starts a server as a process, and waits for it. Heap asks it for what is on its heap, in bytes.
func serverProcess(t *testing.T, port int, dir string) (cmd *exec.Cmd, heap func() int) {
	t.Helper()
	lines := make(chan string, 2)
	in, ask, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = in.Close(), ask.Close() })
	cmd = child(t, in, func(_ *exec.Cmd, line string) { lines <- line }, serverEnv+"="+strconv.Itoa(port), dirEnv+"="+dir)
	require.Equal(t, "ready", <-lines)
	return cmd, func() int {
		_, err := ask.WriteString("\n")
		require.NoError(t, err)
		n, err := strconv.Atoi(<-lines)
		require.NoError(t, err)
		return n
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	_, number, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err := strconv.Atoi(number)
	require.NoError(t, err)
	return port
}

// TestFaults has worker processes that are killed, and started anew, throughout, a server that is killed half way, a page that kills whoever reads it, and one that cannot be
// read: in the end there is one outcome of each page, and those two are named. OMNIDOCS_PAGES=100000 is the long version; with OMNIDOCS_KILLS=0 neither workers nor the server
// are killed, to tell what that costs.
func TestFaults(t *testing.T) {
	pages, workers, kills := 1500, 3, 8
	if s := os.Getenv("OMNIDOCS_PAGES"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		pages, workers, kills = n, 6, n/1000
	}
	if s := os.Getenv("OMNIDOCS_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		kills = n
	}
	const perDocument = 100
	dir, port := t.TempDir(), freePort(t)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	server, _ := serverProcess(t, port, dir)
	ctx := t.Context()
	q := dial(t, url, jetstream.Config{AckWait: time.Second})

	var sources []jetstream.Source
	for first := 0; first < pages; first += perDocument {
		sources = append(sources, drawnSource(first, min(perDocument, pages-first)))
	}
	begun := time.Now()
	_, err := q.Submit(ctx, "job", jetstream.Documents(sources...), jetstream.JobOptions{PagesPerTask: 2})
	require.NoError(t, err)

	// Whoever has just begun with a page is killed, after some pages, the more the fewer kills there are, and within a millisecond: at any moment of
	// what a page goes through.
	random := rand.New(rand.NewPCG(1, uint64(pages)))
	var mu sync.Mutex
	reads, deaths, killed, next, isOver := 0, 0, 0, pages/(kills+1), false
	half := make(chan struct{})
	var hear func(cmd *exec.Cmd, line string)
	hireChild := func() { child(t, nil, hear, workerEnv+"="+url) }
	hear = func(cmd *exec.Cmd, line string) {
		mu.Lock()
		defer mu.Unlock()
		if line == "" {
			deaths++
			if !isOver {
				hireChild()
			}
			return
		}
		reads++
		if reads == pages/2 {
			close(half)
		}
		if reads >= next && killed < kills {
			next = reads + random.IntN(2*pages/(kills+1)) + 1
			killed++
			time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
			_ = cmd.Process.Kill()
		}
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		isOver = true
	})
	for range workers {
		hireChild()
	}
	<-half
	if kills > 0 {
		require.NoError(t, server.Process.Kill())
		serverProcess(t, port, dir)
	}
	status, err := q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	took := time.Since(begun)

	require.Equal(t, pages, status.Pages)
	all := outcomes(t, q, "job")
	require.Len(t, all, pages)
	for at, o := range all {
		switch page := perDocument*at[0] + at[1]; page {
		case deadlyPage:
			require.ErrorIs(t, o.Fault, jobs.ErrPoisoned)
		case badPage:
			require.Equal(t, errBad.Error(), o.Fault.Message)
		default:
			require.Nil(t, o.Fault, "page %d", page)
			r, err := q.Result(ctx, o)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(r.Content, fmt.Sprintf("# Page %d\n", page)), r.Content)
		}
	}
	dead := letters(t, q, "job")
	require.Len(t, dead, 2)
	require.Contains(t, dead, fmt.Sprintf("%d.%d", badPage/perDocument, badPage%perDocument))
	require.Contains(t, dead, fmt.Sprintf("%d.%d", deadlyPage/perDocument, deadlyPage%perDocument))

	require.Equal(t, pages-2, storedResults(t, url), "one result for each page that was read")

	mu.Lock()
	defer mu.Unlock()
	isOver = true // before the test's context ends, and with it the workers
	t.Logf("%d pages by %d workers in %v: %d killed, %d deaths with those of page %d; pages were begun %d times",
		pages, workers, took.Round(10*time.Millisecond), killed, deaths, deadlyPage, reads)
}
