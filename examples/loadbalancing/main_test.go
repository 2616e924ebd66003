package main

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

// One worker of three fails, and every page is read once.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), flags{model: textextraction.TinyModel, pages: 8, fail: 2}, &out))
	require.Len(t, regexp.MustCompile(`(?m)^  Worker extract_[012]: 4 words$`).FindAllString(out.String(), -1), 8, out.String())
	require.Regexp(t, `(?m)^Processed 8 images in parallel in \d+\.\d s, 0 failed$`, out.String())
	read := 0
	for _, m := range regexp.MustCompile(`(?m)^extract_\d: (\d+) pages, \d+ failures`).FindAllStringSubmatch(out.String(), -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		read += n
	}
	require.Equal(t, 8, read)
	require.Contains(t, out.String(), "extract_0: ")
	require.Contains(t, out.String(), "the last: ", "the worker that failed says why")

	out.Reset()
	f := flags{model: "any", workers: "http://127.0.0.1:1/v1", images: []string{"nothing.png"}}
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "nothing.png")
	require.Contains(t, out.String(), "Processed 1 images in parallel")
}
