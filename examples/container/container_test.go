package container_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder that the images are built in.
const root = "../.."

// instructions are those of a Dockerfile, with lines that go on joined, and its comments left out.
func instructions(t *testing.T, name string) (all [][]string) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", " "), "\n") {
		all = append(all, strings.Fields(line))
	}
	return all
}

// What an image is built of is there: files of the repository, stages before, Go as go.mod wants it, programs that build.
func TestDockerfiles(t *testing.T) {
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(module))[1]
	known := map[string]bool{"FROM": true, "WORKDIR": true, "COPY": true, "RUN": true, "ENV": true, "VOLUME": true, "EXPOSE": true, "ENTRYPOINT": true}
	for _, name := range []string{"Dockerfile.cpu", "Dockerfile.cuda"} {
		t.Run(name, func(t *testing.T) {
			stages := map[string]bool{}
			made := map[string]bool{} // files of earlier stages
			programs, entry := 0, ""
			for _, in := range instructions(t, name) {
				require.True(t, known[in[0]], in)
				line := strings.Join(in, " ")
				switch in[0] {
				case "FROM":
					require.Contains(t, in[1], ":", "an image with a tag")
					if strings.HasPrefix(in[1], "golang:") {
						require.True(t, strings.HasPrefix(in[1], "golang:"+goVersion), in[1])
					}
					if len(in) == 4 {
						require.Equal(t, "AS", in[2])
						stages[in[3]] = true
					}
				case "COPY":
					from := ""
					sources := in[1 : len(in)-1]
					for strings.HasPrefix(sources[0], "--") {
						if stage, ok := strings.CutPrefix(sources[0], "--from="); ok {
							from = stage
							require.True(t, stages[stage], line)
						}
						sources = sources[1:]
					}
					for _, source := range sources {
						if from != "" {
							require.True(t, made[source], "%s: nothing before it makes %s", line, source)
						} else {
							require.FileExists(t, or(filepath.Join(root, source), filepath.Join(root, source, "go.mod")), line)
						}
					}
				case "RUN":
					for _, program := range regexp.MustCompile(`\./examples/\w+`).FindAllString(line, -1) {
						require.DirExists(t, filepath.Join(root, program))
						programs++
					}
					for _, file := range regexp.MustCompile(`(?:-o|--target|mkdir) (/\S+)|install -D \S+ (/\w+)/`).FindAllStringSubmatch(line, -1) {
						made[file[1]+file[2]] = true
					}
					if made["/wheels"] {
						made["/wheels/jax_plugins"], made["/wheels/nvidia"] = true, true
					}
				case "ENTRYPOINT":
					entry = line
				}
			}
			require.Equal(t, 1, programs)
			require.Contains(t, entry, "/usr/local/bin/serve")
			require.Contains(t, entry, `"-addr", ":8080"`)
		})
	}
}

// or is the first of two paths that is a file.
func or(a, b string) string {
	if info, err := os.Stat(a); err == nil && info.Mode().IsRegular() {
		return a
	}
	return b
}

// The plugin of the CPU image is that of the tests, to the byte.
func TestPlugin(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, ".ci", "plugin.txt"))
	require.NoError(t, err)
	require.Regexp(t, `lammps-jax-pjrt-cpu==\S+ --hash=sha256:[0-9a-f]{64}`, string(data))
}
