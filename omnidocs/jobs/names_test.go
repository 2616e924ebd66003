package jobs

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResultNames(t *testing.T) {
	for _, test := range []struct{ paths, want string }{
		{"a.pdf", "a"},
		{"a.pdf b.pdf", "a b"},
		{"a.pdf a.png", "a.pdf a.png"},
		{"a.pdf sub/a.pdf", "a sub/a"},
		{"a.pdf A.PDF", "a.pdf-a7949e62 A.PDF-f9e0c0ce"},
		{"a.pdf A.png", "a.pdf A.png"},
		{"a.pdf a.png a.pdf.pdf", "a.pdf-a7949e62 a.png a.pdf"},
		{".pdf sub/.pdf a", ".pdf sub/.pdf a"},
		{"../a.pdf /b.pdf ../../sub/c.pdf", "a b sub/c"},
		{"a.b.pdf", "a.b"},
	} {
		paths := strings.Fields(test.paths)
		got := resultNames(paths)
		seen := map[string]bool{}
		for _, name := range got {
			require.False(t, seen[strings.ToLower(name)], "%v", got)
			seen[strings.ToLower(name)] = true
		}
		require.Equal(t, test.want, strings.Join(got, " "))
		slices.Reverse(paths)
		other := resultNames(paths)
		slices.Reverse(other)
		require.Equal(t, got, other, "the order does not matter")
	}
	require.Len(t, resultNames([]string{"a", "a"}), 2)
}

func TestCommonDir(t *testing.T) {
	for _, test := range []struct{ paths, want string }{
		{"", ""}, {"a", "."}, {"x/a x/b", "x"}, {"x/y/a x/b", "x"}, {"x/a xy/b", "."}, {"/x/a /y/b", "/"}, {"/x/a b", ""}, {"b /x/a", ""},
	} {
		require.Equal(t, test.want, commonDir(strings.Fields(test.paths)), test.paths)
	}
}
