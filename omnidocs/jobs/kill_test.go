package jobs

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
)

// childEnv makes the test binary a job over the folder that it names, see TestMain.
const (
	childEnv  = "OMNIDOCS_TEST_JOB"
	deathsEnv = "OMNIDOCS_TEST_MAX_DEATHS"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if err := child(os.Getenv(childEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child reads the folder in below dir into out, and writes a line for every page that it begins to read. Page 666 kills it.
func child(dir string) error {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ex := &fake{do: func(_ context.Context, page, _ int) error {
		if _, err := fmt.Fprintln(log, page); err != nil {
			return err
		}
		if page == 666 {
			self, err := os.FindProcess(os.Getpid())
			if err != nil {
				return err
			}
			if err := self.Kill(); err != nil {
				return err
			}
			select {}
		}
		time.Sleep(time.Millisecond) // so that there is something to interrupt
		return nil
	}}
	opts := childOptions(filepath.Join(dir, "out"))
	if opts.MaxDeaths, err = strconv.Atoi(os.Getenv(deathsEnv)); err != nil {
		return err
	}
	opts.OnPage = func(string, PageOutcome) { fmt.Println("page") }
	_, err = ProcessDirectory(context.Background(), filepath.Join(dir, "in"), ex, opts)
	return err
}

func childOptions(out string) DirectoryOptions {
	return DirectoryOptions{
		Files: omnidocs.BatchOptions{Pattern: "*.tif*"}, OutputDir: out, Outputs: []Output{JSON, JSONL, Markdown},
	}
}

func command(t *testing.T, dir string, maxDeaths int) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir, deathsEnv+"="+strconv.Itoa(maxDeaths))
	cmd.Stderr = os.Stderr
	return cmd
}

// TestKill kills a job at random moments, 5 times or as often as OMNIDOCS_KILLS says: in the end its output is that of a job that nobody disturbed, and no
// more was read twice than was being read when it was killed.
func TestKill(t *testing.T) {
	kills := 5
	if s := os.Getenv("OMNIDOCS_KILLS"); s != "" {
		var err error
		kills, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	require.NoError(t, os.Mkdir(in, 0o755))
	const documents, pages = 12, 50
	for d := range documents {
		var numbers []int
		for p := range pages {
			numbers = append(numbers, 1000*(d+1)+p)
		}
		drawTIFF(t, filepath.Join(in, fmt.Sprintf("%02d.tiff", d)), numbers...)
	}
	undisturbed := filepath.Join(t.TempDir(), "out")
	_, err := ProcessDirectory(t.Context(), in, &fake{}, childOptions(undisturbed))
	require.NoError(t, err)

	random := rand.New(rand.NewPCG(1, uint64(kills)))
	killed := 0
	for killed < kills {
		cmd := command(t, dir, kills+1) // no page is to blame
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		// After some pages, the more the fewer kills there are, and then within a few milliseconds: at any moment of what a page goes through.
		after := random.IntN(2*documents*pages/(kills+1) + 1)
		lines := bufio.NewScanner(stdout)
		for range after {
			if !lines.Scan() {
				break
			}
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		require.NoError(t, cmd.Process.Kill())
		for lines.Scan() { // or else Wait would not
		}
		if cmd.Wait() == nil {
			break // it came to its end before
		}
		killed++
	}
	t.Logf("killed %d times", killed)
	require.NoError(t, command(t, dir, kills+1).Run())
	want, got := files(t, undisturbed), files(t, filepath.Join(dir, "out"))
	require.Len(t, got, len(want))
	for name := range want {
		require.True(t, want[name] == got[name], "%s differs", name) //nolint:testifylint // Equal would print all of it
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	read := strings.Count(string(log), "\n")
	t.Logf("%d pages were read %d times", documents*pages, read)
	require.GreaterOrEqual(t, read, documents*pages)
	require.LessOrEqual(t, read, documents*pages+killed*DefaultWorkers)
	left, err := os.ReadDir(filepath.Join(dir, "out", stateDir, "tmp"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestPoison has a page that kills its reader, among others that do not.
func TestPoison(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	require.NoError(t, os.Mkdir(in, 0o755))
	drawTIFF(t, filepath.Join(in, "a.tif"), 1, 2, 666, 3, 4, 5, 6, 7, 8)
	deaths := 0
	for ; deaths < 20 && command(t, dir, DefaultMaxDeaths).Run() != nil; deaths++ {
	}
	// Once beside others, which are suspects too until they have been read alone, and then three times alone.
	require.Equal(t, 1+DefaultMaxDeaths, deaths)
	opts := childOptions(out)
	ex := &fake{}
	b, err := ProcessDirectory(t.Context(), in, ex, opts)
	require.NoError(t, err)
	d := b.Document("a")
	require.Equal(t, 8, d.ProcessedPages())
	require.ErrorIs(t, d.Pages()[2].Err, ErrPoisoned)
	require.Zero(t, ex.reads())
	require.Contains(t, files(t, out)["a.json"], `"error": "set aside: 3 processes died while they read it`)

	opts.RetryPoisoned = true
	b, err = ProcessDirectory(t.Context(), in, ex, opts)
	require.NoError(t, err)
	require.True(t, b.Document("a").Complete())
	require.Equal(t, 1, ex.reads())
}
