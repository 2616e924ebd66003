package modal

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of what a sandbox writes the end is kept, in lines that are not too long.
func TestTail(t *testing.T) {
	var logged strings.Builder
	log := newTail(slog.New(slog.NewTextHandler(&logged, nil)))
	log.follow(io.MultiReader(strings.NewReader(strings.Repeat("line\n", 50)), strings.NewReader(strings.Repeat("x", 2*tailWidth)+"\r\n\nlast")))
	lines := log.last()
	require.Len(t, lines, tailLines)
	require.Equal(t, "last", lines[tailLines-1])
	require.Len(t, lines[tailLines-2], tailWidth)
	require.Equal(t, 52, strings.Count(logged.String(), "\n"))
	require.ErrorContains(t, log.err(), "last")
	require.NoError(t, newTail(slog.New(slog.DiscardHandler)).err())
}

func TestSandboxError(t *testing.T) {
	for _, test := range []struct {
		err  SandboxError
		want string
		oom  bool
	}{
		{SandboxError{ID: "sb-1", ExitCode: 1, Log: []string{"no such model"}}, "modal: sandbox sb-1 has ended with code 1: no such model", false},
		{SandboxError{ID: "sb-1", ExitCode: 124}, "raise Lifetime", false},
		{SandboxError{ID: "sb-1", ExitCode: 137}, "it was killed", false},
		{SandboxError{ID: "sb-1", ExitCode: 1, Log: []string{"torch.OutOfMemoryError: CUDA out of memory."}}, "larger GPU", true},
		{SandboxError{ID: "sb-1", ExitCode: 1, Log: []string{"RESOURCE_EXHAUSTED: allocating 3 GiB"}}, "larger GPU", true},
	} {
		require.ErrorContains(t, &test.err, test.want)
		if test.oom {
			require.ErrorIs(t, &test.err, ErrOutOfMemory)
		} else {
			require.NotErrorIs(t, &test.err, ErrOutOfMemory)
		}
	}
}
