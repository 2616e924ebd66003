package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
)

// Offline the program is written, and a class of a Modal on this machine reads a page.
func TestDeployment(t *testing.T) {
	for _, name := range []string{"MODAL_SERVER_URL", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_CONFIG_PATH"} {
		t.Setenv(name, "") // put back afterwards
	}
	f := flags{deployment: modal.Deployment{Config: modal.Config{App: modal.DefaultApp}, Schedule: "0 0 * * *"}}
	var out strings.Builder
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), `schedule=modal.Cron("0 0 * * *", timezone="UTC")`)
	require.Contains(t, out.String(), "\nthe black house\n")

	f.out, f.deployment.Program = filepath.Join(t.TempDir(), "modal_app.py"), "/tmp/serve"
	require.NoError(t, run(t.Context(), f, &out))
	program, err := os.ReadFile(f.out)
	require.NoError(t, err)
	require.Contains(t, string(program), `.add_local_file("/tmp/serve", "/usr/local/bin/serve", copy=True)`)
}
