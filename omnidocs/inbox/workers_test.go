package inbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// workerEnv makes the test binary a worker on the folder that it names, see TestMain.
const workerEnv = "OMNIDOCS_TEST_INBOX"

func TestMain(m *testing.M) {
	dir := os.Getenv(workerEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := worker(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// worker reads the inbox until it is empty, and writes a line for every page that it reads.
func worker(dir string) error {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ex := &fake{do: func(_ context.Context, page int) error {
		_, err := fmt.Fprintln(log, page)
		fmt.Println("page")
		time.Sleep(time.Millisecond)
		return err
	}}
	b, err := Open(dir, ex, Options{Settle: -1})
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = b.Run(context.Background())
	return err
}

// TestWorkers has four processes read 200 files, or as many as OMNIDOCS_INBOX_FILES says, and kills one of them on the way.
func TestWorkers(t *testing.T) {
	count := 200
	if s := os.Getenv("OMNIDOCS_INBOX_FILES"); s != "" {
		var err error
		count, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	for n := range count {
		drop(t, dir, fmt.Sprintf("%04d.png", n), n)
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	start := func() (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env, cmd.Stderr = append(os.Environ(), workerEnv+"="+dir), os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		return cmd, bufio.NewScanner(out)
	}
	victim, lines := start()
	var others []*exec.Cmd
	var outs []*bufio.Scanner
	for range 3 {
		cmd, out := start()
		others, outs = append(others, cmd), append(outs, out)
	}
	for range 10 {
		require.True(t, lines.Scan())
	}
	require.NoError(t, victim.Process.Kill())
	for lines.Scan() { // to the end, or else Wait would not
	}
	require.Error(t, victim.Wait())
	for i, cmd := range others {
		for outs[i].Scan() {
		}
		require.NoError(t, cmd.Wait())
	}
	last, out := start() // takes over what the killed one had, if the others had ended before
	for out.Scan() {
	}
	require.NoError(t, last.Wait())

	require.Empty(t, list(t, dir, "inbox"))
	require.Empty(t, list(t, dir, "failed"))
	require.Len(t, list(t, dir, "processed"), count)
	require.Len(t, list(t, dir, "results"), count)
	for n := range count {
		data, err := os.ReadFile(filepath.Join(dir, "results", fmt.Sprintf("%04d.json", n)))
		require.NoError(t, err)
		var r Result
		require.NoError(t, json.Unmarshal(data, &r))
		require.Equal(t, fmt.Sprintf("page %d", n), r.Content)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	read := strings.Count(string(log), "\n")
	t.Logf("%d files were read %d times by 4 workers", count, read)
	require.GreaterOrEqual(t, read, count)
	require.LessOrEqual(t, read, count+DefaultFiles, "only what the killed one was reading is read again")
}
