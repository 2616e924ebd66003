package qwen

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every row was computed by transformers 5.23.
func TestSmartResizeEqualsTransformers(t *testing.T) {
	data, err := os.ReadFile("testdata/processor/smart_resize.json")
	require.NoError(t, err)
	var rows [][]any
	require.NoError(t, json.Unmarshal(data, &rows))
	require.Greater(t, len(rows), 100)
	refused := 0
	for _, row := range rows {
		n := make([]int, 5)
		for i := range n {
			n[i] = int(row[i].(float64))
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h, w, err := SmartResize(n[0], n[1], n[2], n[3], n[4])
			if row[5] == nil {
				refused++
				require.ErrorContains(t, err, "200 times")
				return
			}
			require.NoError(t, err)
			require.Equal(t, row[5], []any{float64(h), float64(w)})
		})
	}
	require.Positive(t, refused, "no row tries the limit on the aspect ratio")
}

func TestSmartResizeRoundsHalfToEven(t *testing.T) {
	h, w, err := SmartResize(80, 112, 32, 1, 1<<20) // 2.5 and 3.5 squares
	require.NoError(t, err)
	require.Equal(t, []int{64, 128}, []int{h, w})
}

func TestSmartResizeRefuses(t *testing.T) {
	for _, c := range []struct {
		name                string
		h, w, f, least, max int
		want                string
	}{
		{"too long", 4000, 1, 32, 1024, 1 << 20, "1 x 4000 pixels (width x height): one side is 4000 times the other"},
		{"just too long", 201, 1, 32, 1024, 1 << 20, "201 times"},
		{"no height", 0, 10, 32, 1024, 1 << 20, "10 x 0"},
		{"negative width", 10, -1, 32, 1024, 1 << 20, "-1 x 10"},
		{"no factor", 10, 10, 0, 1024, 1 << 20, "factor 0"},
		{"huge factor", 10, 10, 1 << 40, 1024, 1 << 20, "factor"},
		{"no least", 10, 10, 32, 0, 1 << 20, "pixels from 0"},
		{"crossed", 10, 10, 32, 10, 9, "pixels from 10 to 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := SmartResize(c.h, c.w, c.f, c.least, c.max)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, _, err := SmartResize(200, 1, 32, 1024, 1<<20)
	require.NoError(t, err, "200 times is allowed")
}

func FuzzSmartResize(f *testing.F) {
	f.Add(1650, 1275, 32, 65536, 16777216)
	f.Add(1, 1, 28, 1, 1)
	f.Fuzz(func(t *testing.T, h, w, factor, least, most int) {
		gotH, gotW, err := SmartResize(h, w, factor, least, most)
		if err != nil {
			return
		}
		require.Positive(t, gotH)
		require.Positive(t, gotW)
		require.Zero(t, gotH%factor)
		require.Zero(t, gotW%factor)
	})
}
