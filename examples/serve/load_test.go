package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/freeport"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// workerVariable makes the test's own binary a worker that listens at the address in it.
const workerVariable = "OMNIDOCS_TEST_WORKER"

func TestMain(m *testing.M) {
	if at := os.Getenv(workerVariable); at != "" {
		f := flags{addr: at, model: textextraction.TinyModel, slots: loadSlots, grace: time.Minute}
		if err := run(context.Background(), f, "secret", slog.New(slog.DiscardHandler), func(string) {}); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// loadSlots is how many pages a worker reads together.
const loadSlots = 4

// TestLoad has many clients ask a balancer at once. One of its three workers, which are processes, is killed in the middle, and started
// again later. Every page is answered once, with its own text; workers read no page twice; memory does not grow with the pages.
//
//	OMNIDOCS_LOAD=1 go test ./examples/serve -run TestLoad -v -timeout 30m      # 200 clients, 5,000 pages
func TestLoad(t *testing.T) {
	clients, pages := 20, 200
	if os.Getenv("OMNIDOCS_LOAD") != "" {
		clients, pages = 200, 5000
	}
	files, texts := loadPages(t)

	workers := make([]*worker, 3)
	var bases []string
	for i := range workers {
		workers[i] = &worker{address: freeAddress(t)}
		workers[i].start(t)
		bases = append(bases, workers[i].base())
	}
	balancer, end := start(t, flags{workers: strings.Join(bases, ","), slots: loadSlots})
	before := heap()

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var next, answered atomic.Int64
	read := &tally{by: map[string]int{}}
	answers := make([]answer, pages)
	began := time.Now()
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < pages; i = int(next.Add(1)) - 1 {
				sent := time.Now()
				text, by, err := ask(t.Context(), client, balancer, files[i%len(files)])
				answers[i] = answer{text, time.Since(sent), err}
				read.add(by)
				answered.Add(1)
			}
		})
	}
	until := func(n int) {
		require.Eventually(t, func() bool { return answered.Load() >= int64(n) }, 25*time.Minute, 5*time.Millisecond)
	}
	killed := workers[1]
	until(pages / 3)
	killed.kill(t)
	until(2 * pages / 3)
	gone := read.of(killed.base()) // in its first life
	killed.start(t)
	asking.Wait()
	took := time.Since(began)

	var times []time.Duration
	for i, a := range answers {
		require.NoError(t, a.err, "page %d", i)
		require.Equal(t, texts[i%len(texts)], a.text, "page %d has the text of another", i)
		times = append(times, a.took)
	}
	require.Equal(t, pages, count(t, balancer), "pages that the balancer has read")
	for _, w := range workers {
		want := read.of(w.base())
		if w == killed {
			want -= gone
		}
		require.Equal(t, want, count(t, w.address), "pages that %s has read, and those of its answers that a client has", w.address)
	}
	slices.Sort(times)
	t.Logf("%d clients, %d pages in %.1f s: %.1f pages/s; a page took %v in the middle, p99 %v, at most %v; read by %v", clients, pages, took.Seconds(),
		float64(pages)/took.Seconds(), times[len(times)/2].Round(time.Millisecond), times[len(times)*99/100].Round(time.Millisecond),
		times[len(times)-1].Round(time.Millisecond), read.by)
	require.Positive(t, read.of(killed.base()))

	after := heap()
	t.Logf("heap of balancer and clients: %.1f MB before, %.1f MB after", before, after)
	require.Less(t, after, before+32, "megabytes")
	for _, w := range workers {
		now, most := residents(t, w.process.Process.Pid)
		t.Logf("%s: %.0f MB of memory, %.0f MB at most", w.address, now, most)
		require.Less(t, most, 1024.0, "megabytes")
	}
	end()
}

// answer is what came of a page.
type answer struct {
	text string
	took time.Duration
	err  error
}

// tally counts pages by who read them.
type tally struct {
	mu sync.Mutex
	by map[string]int
}

func (c *tally) add(by string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[by]++
}

func (c *tally) of(by string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[by]
}

// loadPages are small pages, and what the model reads of each of them alone, all of it different.
func loadPages(t *testing.T) (files [][]byte, texts []string) {
	t.Helper()
	x, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	require.NoError(t, err)
	for _, text := range []string{"one house", "two lamps", "three hills", "four letters", "five boxes", "six doors", "seven days", "eight plates", "nine pots", "ten months"} {
		p, err := tiny.DrawPage(tiny.PageOptions{Markdown: text, Width: 256, Height: 64})
		require.NoError(t, err)
		var file bytes.Buffer
		require.NoError(t, png.Encode(&file, p.Image))
		res, err := x.Extract(t.Context(), p.Image, textextraction.Markdown)
		require.NoError(t, err)
		require.NotContains(t, texts, res.Content)
		files, texts = append(files, file.Bytes()), append(texts, res.Content)
	}
	require.NoError(t, x.Close())
	return files, texts
}

// ask has a page read by a server.
func ask(ctx context.Context, client *http.Client, address string, file []byte) (text, worker string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/extract", bytes.NewReader(file))
	if err != nil {
		return "", "", err
	}
	r.Header.Set("Authorization", "Bearer secret")
	res, err := client.Do(r)
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return "", "", err
	}
	var got textextraction.ExtractResult
	if err := json.Unmarshal(data, &got); err != nil {
		return "", "", fmt.Errorf("%s: %s", res.Status, data)
	}
	return got.Content, got.Worker, nil
}

// count asks a server how many pages it has read.
func count(t *testing.T, address string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer secret")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^omnidocs_pages_total\{outcome="ok"\} (\d+)$`).FindSubmatch(data)
	require.NotNil(t, m, string(data))
	n, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return n
}

// worker is a server in a process of its own.
type worker struct {
	address string
	process *exec.Cmd
}

func (w *worker) base() string { return "http://" + w.address + "/v1" }

// start starts the process and waits until it takes pages.
func (w *worker) start(t *testing.T) {
	t.Helper()
	w.process = exec.CommandContext(t.Context(), os.Args[0])
	w.process.Env = append(os.Environ(), workerVariable+"="+w.address)
	w.process.Stderr = t.Output()
	require.NoError(t, w.process.Start())
	t.Cleanup(func() { w.kill(t) })
	require.Eventually(t, func() bool { return ready(w.base())(t.Context()) == nil }, 5*time.Minute, 20*time.Millisecond)
}

// kill ends the process as the power does.
func (w *worker) kill(t *testing.T) {
	t.Helper()
	if w.process.ProcessState == nil {
		require.NoError(t, w.process.Process.Kill())
		_ = w.process.Wait() // it was killed
	}
}

// freeAddress is an address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	return address
}

// heap is what this process holds, in megabytes.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

// residents are the memory that a process has, and the most that it had, in megabytes; zero where that is not known.
func residents(t *testing.T, pid int) (now, most float64) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(data)) {
		for name, to := range map[string]*float64{"VmRSS:": &now, "VmHWM:": &most} {
			if f := strings.Fields(line); len(f) == 3 && f[0] == name {
				kilobytes, err := strconv.ParseFloat(f[1], 64)
				require.NoError(t, err)
				*to = kilobytes / 1e3
			}
		}
	}
	return now, most
}
