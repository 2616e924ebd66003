package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

// compileCacheEnv is what a test's child process is told.
const compileCacheEnv = "OMNIDOCS_TEST_COMPILE_CACHE"

// started is what a process tells that has read a page.
type started struct {
	Tokens   []int32
	LogProbs []float32
	Programs backend.ProgramStats
	Events   int // compilations that were told, and not loadings
}

// start reads a page with an engine that keeps its programs in a folder.
func start(t *testing.T, folder string, log *slog.Logger) started {
	t.Helper()
	var s started
	e, err := backend.Load(t.Context(), backend.LoadOptions{
		Model: goldenModel, Device: "xla:cpu", MemoryLimit: -1, MaxBatch: 1, CompileCache: folder, Logger: log,
		Observer: backend.Observer{Compiled: func(e backend.CompileEvent) {
			if !e.Loaded {
				s.Events++
			}
		}},
	})
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("programs are compiled by XLA: %v", err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	out, err := e.Read(context.Background(), backend.Request{Image: testPages(t)[2], Prompt: "qwenvl markdown", MaxNewTokens: 6})
	require.NoError(t, err)
	s.Tokens, s.LogProbs, s.Programs = out.Tokens, out.LogProbs, e.Stats().Programs
	require.Equal(t, s.Programs.Compilations, s.Events)
	require.Equal(t, s.Programs.Programs, s.Programs.Compilations+s.Programs.Loaded)
	return s
}

// TestCompileCacheChild is the first process of TestCompileCache.
func TestCompileCacheChild(t *testing.T) {
	folder := os.Getenv(compileCacheEnv)
	if folder == "" {
		t.Skip("it is for TestCompileCache to start")
	}
	told, err := json.Marshal(start(t, folder, nil))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "told"), told, 0o600))
}

// A second process compiles nothing that the first has compiled, and reads the same.
func TestCompileCache(t *testing.T) {
	folder := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCompileCacheChild$", "-test.v")
	child.Env = append(os.Environ(), compileCacheEnv+"="+folder)
	said, err := child.CombinedOutput()
	require.NoError(t, err, string(said))
	if bytes.Contains(said, []byte("SKIP")) {
		t.Skipf("programs are compiled by XLA: %s", said)
	}
	var first started
	told, err := os.ReadFile(filepath.Join(folder, "told"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(told, &first))
	require.Positive(t, first.Programs.Compilations)

	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	second := start(t, folder, logger)
	require.Zero(t, second.Programs.Compilations)
	require.NotContains(t, log.String(), "compiled program")
	require.Equal(t, first.Tokens, second.Tokens)
	require.Equal(t, first.LogProbs, second.LogProbs)
	t.Logf("%d programs: compiled in %.3f s, loaded in %.3f s", first.Programs.Programs, first.Programs.CompileTime, second.Programs.LoadTime)

	t.Run("off", func(t *testing.T) {
		off := start(t, "off", nil)
		require.Equal(t, first.Programs.Compilations, off.Programs.Compilations)
		require.Equal(t, first.Tokens, off.Tokens)
	})
	t.Run("by the environment", func(t *testing.T) {
		t.Setenv(backend.CompileCacheEnv, folder)
		require.Zero(t, start(t, "", nil).Programs.Compilations)
	})
	t.Run("bad files", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(folder, "*.xla"))
		require.NoError(t, err)
		bad := 0
		for i, file := range files {
			if i%2 == 0 {
				require.NoError(t, os.Truncate(file, int64(100*i)))
				bad++
			}
		}
		mended := start(t, folder, logger)
		require.Positive(t, mended.Programs.Compilations)
		require.Positive(t, mended.Programs.Loaded)
		require.Equal(t, bad, bytes.Count(log.Bytes(), []byte("a compiled program is of no use")))
		require.Equal(t, first.Tokens, mended.Tokens)
		require.Zero(t, start(t, folder, nil).Programs.Compilations)
	})
	t.Run("other flags", func(t *testing.T) {
		t.Setenv("XLA_FLAGS", os.Getenv("XLA_FLAGS")+" --xla_cpu_enable_fast_math=false")
		require.Zero(t, start(t, folder, nil).Programs.Loaded)
	})
}
