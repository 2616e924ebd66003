package report

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// browse opens the report in headless Chromium and returns its document as it is when its script has run. With OMNIDOCS_SCREENSHOTS a folder, it leaves a picture there.
func browse(t *testing.T, browser, path, fragment string) string {
	t.Helper()
	profile, err := os.MkdirTemp("", "omnidocs-chromium-") //nolint:usetesting // the browser's children may write into it when it has ended
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + profile, "--enable-logging=stderr",
		"--virtual-time-budget=5000", "--window-size=1400,2600",
	}
	if dir := os.Getenv("OMNIDOCS_SCREENSHOTS"); dir != "" {
		picture := filepath.Join(dir, "report"+strings.NewReplacer("#", "-", "=", "-").Replace(fragment)+".png")
		_, err := exec.CommandContext(t.Context(), browser, append(args, "--screenshot="+picture, "file://"+path+fragment)...).Output()
		require.NoError(t, err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), browser, append(args, "--dump-dom", "file://"+path+fragment)...)
	cmd.Stderr = &log
	out, err := cmd.Output()
	require.NoError(t, err, log.String())
	require.NotContains(t, log.String(), "Content Security Policy", "nothing tried what it may not")
	require.NotContains(t, log.String(), "Uncaught")
	return string(out)
}

func TestChromium(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	b, opts := sample(t)
	path, err := Write(t.Context(), t.TempDir(), b, opts)
	require.NoError(t, err)
	all := browse(t, browser, path, "")
	require.Contains(t, all, `data-ready="yes"`, "its own script has run")
	require.Contains(t, all, "<title>Harbor &lt;job&gt;</title>", "no other has")
	require.Equal(t, 6, strings.Count(all, "<article"))
	require.NotContains(t, all, `hidden=""`)
	failed := browse(t, browser, path, "#show=failed")
	require.Equal(t, 5, strings.Count(failed, `<article class="page" id="d1-p`)-strings.Count(failed, `data-flags="failed">`), "the others are hidden")
	require.Equal(t, 6, strings.Count(failed, `hidden=""`), "five pages and the document without")
}
