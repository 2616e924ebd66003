package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func show(t *testing.T, only string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), flags{only: only, patience: 2 * time.Second}, &out), out.String())
	return out.String()
}

func TestDownload(t *testing.T) {
	t.Setenv("HF_TOKEN", "mine")
	require.Regexp(t, `^# Model download stuck

(.*\n)+?  stands at: download model\.safetensors, [123]\d %
  error: .*model org/model.*the download brings nothing any more
What had come is kept.*
  loaded org/model
  the hub was asked for all bytes
  the hub was asked for bytes=\d+-
A model that wants a token.*
  error: .*accept its license at .*org/model and set HF_TOKEN.*
One that is in the cache.*
  loaded org/model

$`, show(t, "download"))
	require.Equal(t, "mine", os.Getenv("HF_TOKEN"), "the environment is as it was")
}

func TestMemory(t *testing.T) {
	require.Regexp(t, `^# Out of memory

.*
  it takes \d+\.\d MB, there are 10\.0 MB
(  what would help: .*\n)+With as much .*
  error: .*out of memory: a page of \d+ visual tokens needs about .*; a smaller MaxPixels makes it smaller
OutOfMemoryRetries.*
  read with \d{2,3} visual tokens of 1024

$`, show(t, "memory"))
}

func TestTimeouts(t *testing.T) {
	require.Regexp(t, `^# Time-outs

.*
  error: .*deadline exceeded.*
  finish_reason "canceled", \d+ tokens: ".*"
In a job .*
A server .*
  error: .*504 Gateway Timeout.*longer than this server gives.*
What takes long .*
  truncated true, finish_reason "length": "# Order.*"

$`, show(t, "timeout"))
}

func TestNetwork(t *testing.T) {
	require.Regexp(t, `^# Network errors

(.*\n)+?  read "3 boxes of paper" in 3 attempts
A server that is gone:
  error: .*after 2 attempts: .*connection refused
In a pool .*
  read "3 boxes of paper" by "well"
A job .*

$`, show(t, "network"))
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), flags{only: "luck"}, &out), "-only luck: want download")
}
