package omnidocs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

const (
	module   = "github.com/omnidocs/omnidocs"
	maxLines = 500
	graphPkg = "github.com/gomlx/gomlx/core/graph"
)

// rooms is the table of what may import what: the first part of a package's path, and the rooms of ours that it may import besides
// itself. The leaves under internal import none of ours, each other neither. Tests may import more: they compare the rooms.
var rooms = map[string][]string{
	"":               {}, // the root holds documentation only
	"internal":       {},
	"qwen":           {"internal"},
	"backend":        {"qwen", "internal"},
	"textextraction": {"backend", "qwen", "internal"},
	"omnidocs":       {"textextraction", "backend", "qwen", "internal"},
	"examples":       {"omnidocs", "textextraction", "backend", "qwen", "internal"},
}

// graphRooms are the packages of graph code, which may import GoMLX's operations by their bare names.
var graphRooms = []string{"qwen", "internal/nn"}

// unwanted are imports that no library package has; examples and tests may.
var unwanted = map[string]string{
	"log":                   "a library logs through the caller's *slog.Logger",
	"k8s.io/klog":           "a library logs through the caller's *slog.Logger",
	"k8s.io/klog/v2":        "a library logs through the caller's *slog.Logger",
	"github.com/pkg/errors": "use errors and fmt.Errorf",
	"github.com/gomlx/go-xla/compute/xla/autoinstall": "nothing is downloaded behind the user's back",
	"github.com/gomlx/gomlx/backends/default":         "it links what downloads plugins",
}

// TestRooms holds the tree to the table above.
func TestRooms(t *testing.T) {
	faults, files := checkRooms(os.DirFS("."))
	require.Greater(t, files, 20, "the walk must have seen the tree")
	require.Empty(t, faults)
}

// TestRoomsNotices breaks every rule once.
func TestRoomsNotices(t *testing.T) {
	file := func(lines ...string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
	}
	imports := func(paths ...string) *fstest.MapFile {
		lines := []string{"package x"}
		for _, p := range paths {
			lines = append(lines, "import "+p)
		}
		return file(lines...)
	}
	ours := func(p string) string { return strconv.Quote(module + "/" + p) }
	for _, test := range []struct {
		name, path string
		file       *fstest.MapFile
		want       string
	}{
		{"leaf imports leaf", "internal/a/a.go", imports(ours("internal/b")), "internal/a may not import internal/b"},
		{"leaf imports up", "internal/a/a.go", imports(ours("qwen")), "internal/a may not import qwen"},
		{"qwen imports backend", "qwen/a.go", imports(ours("backend")), "qwen may not import backend"},
		{"backend imports the task", "backend/a.go", imports(ours("textextraction")), "backend may not import textextraction"},
		{"the task imports documents", "textextraction/httpapi/a.go", imports(ours("omnidocs/jobs")), "textextraction/httpapi may not import omnidocs/jobs"},
		{"a room that is not in the table", "utils/a.go", imports(), `no room "utils"`},
		{"import of a room that is not in the table", "qwen/a.go", imports(ours("utils")), "qwen may not import utils"},
		{"code in the root", "a.go", imports(ours("qwen")), "may not import qwen"},
		{"log", "backend/a.go", imports(`"log"`), "imports log"},
		{"plugin downloads", "backend/a.go", imports(`_ "github.com/gomlx/go-xla/compute/xla/autoinstall"`), "autoinstall"},
		{"dot import outside graph code", "backend/a.go", imports(`. "` + graphPkg + `"`), "dot import"},
		{"dot import of something else", "qwen/a.go", imports(`. "math"`), "dot import"},
		{"prints", "backend/a.go", file("package x", `import "fmt"`, `func f() { fmt.Println("x") }`), "prints"},
		{"too long", "backend/a.go", file("package x" + strings.Repeat("\n//", maxLines)), "501 lines"},
		{"no Go", "backend/a.go", file("nonsense"), "backend/a.go"},
	} {
		t.Run(test.name, func(t *testing.T) {
			faults, _ := checkRooms(fstest.MapFS{test.path: test.file})
			require.Len(t, faults, 1)
			require.Contains(t, faults[0], test.want)
		})
	}
	t.Run("what is allowed", func(t *testing.T) {
		faults, files := checkRooms(fstest.MapFS{
			"doc.go":                  imports(),
			"internal/a/a.go":         imports(`"fmt"`, `"log/slog"`),
			"internal/a/sub/a.go":     imports(ours("internal/a")),
			"internal/nn/a.go":        imports(`. "` + graphPkg + `"`),
			"qwen/a.go":               imports(ours("internal/a"), `. "`+graphPkg+`"`),
			"qwen/a_test.go":          imports(ours("backend"), `"log"`),
			"backend/a.go":            imports(ours("qwen"), ours("internal/a")),
			"textextraction/a.go":     imports(ours("backend"), ours("qwen"), ours("internal/a")),
			"textextraction/api/a.go": imports(ours("textextraction")),
			"examples/demo/main.go":   file("package main", `import ("fmt"; "log"; `+ours("textextraction")+")", `func main() { log.Println(fmt.Sprint()); fmt.Println() }`),
			"omnidocs/modal/go.mod":   file("module x"),
			"omnidocs/modal/a.go":     imports(`"log"`),
			"qwen/testdata/a.go":      file("nonsense"),
			".cache/a.go":             file("nonsense"),
		})
		require.Empty(t, faults)
		require.Equal(t, 10, files)
	})
}

// checkRooms reads every Go file of the module in fsys and tells the faults, and how many files it read.
func checkRooms(fsys fs.FS) (faults []string, files int) {
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			base := path.Base(name)
			if base == "testdata" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		files++
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		faults = append(faults, checkFile(name, source)...)
		return nil
	})
	if err != nil {
		faults = append(faults, err.Error())
	}
	return faults, files
}

// checkFile tells the faults of one file.
func checkFile(name string, source []byte) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, name+": "+fmt.Sprintf(format, args...)) }
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		fault("%v", err)
		return faults
	}
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	room, _, _ := strings.Cut(dir, "/")
	if _, ok := rooms[room]; !ok {
		fault("there is no room %q in the table of this test", room)
	}
	if n := strings.Count(string(source), "\n"); n > maxLines {
		fault("%d lines: split files above %d by what they do", n, maxLines)
	}
	isTest := strings.HasSuffix(name, "_test.go")
	isProgram := file.Name.Name == "main"
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			fault("%v", err)
			continue
		}
		if spec.Name != nil && spec.Name.Name == "." && (imported != graphPkg || !slices.Contains(graphRooms, dir)) {
			fault("dot import of %s: only %s in %v may be", imported, graphPkg, graphRooms)
		}
		if isTest {
			continue
		}
		if why, ok := unwanted[imported]; ok && room != "examples" {
			fault("imports %s: %s", imported, why)
		}
		if other, ok := strings.CutPrefix(imported, module+"/"); ok && !mayImport(dir, other) {
			fault("%s may not import %s", dir, other)
		}
	}
	if !isTest && !isProgram && prints(file) {
		fault("prints to standard output, which is the program's: return it, or log it")
	}
	return faults
}

// mayImport says whether a package of ours may import another, both given below the module's path.
func mayImport(dir, other string) bool {
	room, _, _ := strings.Cut(dir, "/")
	otherRoom, _, _ := strings.Cut(other, "/")
	if room == "internal" {
		return otherRoom == "internal" && leaf(dir) == leaf(other)
	}
	return (room == otherRoom && room != "examples") || slices.Contains(rooms[room], otherRoom)
}

// leaf is the first two parts of a path: internal/nn of internal/nn/rope.
func leaf(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// prints says whether the file calls fmt.Print and its kind, or the built-in ones.
func prints(file *ast.File) bool {
	found := false
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := call.Fun.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := fun.X.(*ast.Ident); ok && pkg.Name == "fmt" && strings.HasPrefix(fun.Sel.Name, "Print") {
				found = true
			}
		case *ast.Ident:
			found = found || fun.Name == "println" || fun.Name == "print"
		}
		return !found
	})
	return found
}
