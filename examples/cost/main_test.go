package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/cost"
)

// With the guide's rate and times the table has the guide's numbers, corrected.
func TestGuide(t *testing.T) {
	var out bytes.Buffer
	job := cost.Job{GPU: "A10G:1", Load: 2 * time.Second, PerPage: 3 * time.Second}
	require.NoError(t, run(&out, job, 0.35, ""))
	require.Regexp(t, `\n +1 +5s +\$0\.0005 +\$0\.000486 `, out.String())
	require.Regexp(t, `\n +100 +5m2s +\$0\.0294 +\$0\.000294 +\$0\.0294`, out.String())
	require.Regexp(t, `\n +1000000 +833h20m2s `, out.String())
	require.ErrorContains(t, run(&out, job, 0, "nothing.json"), "nothing.json")
	job.GPU = "A40:1"
	require.ErrorContains(t, run(&out, job, 0, ""), "no price")
}
