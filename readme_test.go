package omnidocs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's program is the example that the compiler sees, and what it names is there.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("README.md")
	require.NoError(t, err)
	readme := string(data)
	example, err := os.ReadFile(filepath.Join("textextraction", "example_test.go"))
	require.NoError(t, err)
	_, body, found := strings.Cut(readme, "func main() {\n")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "}\n```")
	require.Contains(t, string(example), "func ExampleNewQwenTextExtractor() {\n"+body+"}\n")

	for _, match := range regexp.MustCompile(`go run (\./examples/\w+)((?: +-[\w-]+ \S+| +-json)*)`).FindAllStringSubmatch(readme, -1) {
		source, err := os.ReadFile(filepath.Join(filepath.FromSlash(match[1]), "main.go"))
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(` -([a-z][\w-]*)`).FindAllStringSubmatch(match[2], -1) {
			require.Contains(t, string(source), `"`+name[1]+`"`, "%s has no flag -%s", match[1], name[1])
		}
	}
	for _, match := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(readme, -1) {
		_, err := os.Stat(filepath.FromSlash(match[1]))
		require.NoError(t, err, "a link")
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(readme, -1) {
		if match[1] == "go" || match[1] == "cpu" { // devices
			continue
		}
		require.DirExists(t, match[1])
	}
}
