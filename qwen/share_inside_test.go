package qwen

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"
)

// What a device is given of each parameter has the shape that its programs declare, and all devices together are given every number
// once, but for parameters that are not divided, which are small.
func TestReadings(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join("testdata", "golden", "*", "config.json"))
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	const n = 2
	for _, path := range cases {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			spec, err := ReadSpec(os.DirFS(filepath.Dir(path)))
			require.NoError(t, err)
			local, err := spec.share(n)
			require.NoError(t, err)
			groups, own := spec.groups(), local.groups()
			require.Len(t, own, len(groups))
			for i, g := range groups {
				for j, p := range g.params {
					parts := p.buffers(0)[0]
					want := own[i].params[j].shape(own[i].params[j].buffers(0)[0], dtypes.Float32)
					shape := p.share(p.shape(parts, dtypes.Float32), n)
					require.Equal(t, want, shape, "%s %s", g.name, p.name)
					readings, buffers := p.readings(n, parts)
					if p.cut == undivided {
						require.Equal(t, 1, buffers)
						require.NotEqual(t, matrix, p.kind, "%s %s is on every device", g.name, p.name)
						continue
					}
					require.Equal(t, n, buffers)
					seen, filled := map[[3]int]int{}, make([]int, n) // of a source, row and column
					for _, r := range readings {
						for _, run := range r.parts {
							for row := run.from; row < run.to; row++ {
								for _, w := range r.into {
									for column := w.left; column < w.right; column++ {
										seen[[3]int{sourceOf(p, run), row, column}]++
										filled[w.buffer]++
									}
								}
							}
						}
					}
					require.Equal(t, []int{shape.Size(), shape.Size()}, filled, "%s %s", g.name, p.name)
					require.Len(t, seen, elements(p.dims()), "%s %s", g.name, p.name)
				}
			}
		})
	}
}

func sourceOf(p param, of part) int {
	for i, s := range p.sources {
		if s.key == of.source.key {
			return i
		}
	}
	return -1
}

// Rows of several kinds are divided kind by kind.
func TestReadingsOfKinds(t *testing.T) {
	p := one(vector, "qkv", 12).inRuns(2, 4, 6).by(byRows)
	readings, n := p.readings(2, p.buffers(0)[0])
	require.Equal(t, 2, n)
	var rows [][2]int
	for _, run := range readings[1].parts {
		rows = append(rows, [2]int{run.from, run.to})
	}
	require.Equal(t, [][2]int{{1, 2}, {4, 6}, {9, 12}}, rows)
}

// The last shares of a table may be shorter, or nothing.
func TestReadingsOfTables(t *testing.T) {
	p := one(matrix, "table", 5, 2).by(byRows)
	for n, want := range map[int][]int{2: {3, 2}, 4: {2, 2, 1, 0}} {
		readings, buffers := p.readings(n, p.buffers(0)[0])
		require.Equal(t, n, buffers)
		require.True(t, p.ragged(n))
		var rows []int
		for _, r := range readings {
			count := 0
			for _, run := range r.parts {
				count += run.to - run.from
			}
			rows = append(rows, count)
		}
		require.Equal(t, want, rows)
	}
}
