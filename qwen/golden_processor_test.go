package qwen_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/qwen"
)

// goldenProcessor runs the rows of a folder written by shared make_processor scripts: sizes, resized pictures, tokens.
func goldenProcessor(t *testing.T, dir string) {
	t.Run("smart_resize", func(t *testing.T) {
		var rows [][]any
		readJSON(t, filepath.Join(dir, "smart_resize.json"), &rows)
		require.NotEmpty(t, rows)
		for _, row := range rows {
			n := make([]int, 5)
			for i := range n {
				n[i] = int(row[i].(float64))
			}
			h, w, err := qwen.SmartResize(n[0], n[1], n[2], n[3], n[4])
			if row[5] == nil {
				require.Error(t, err, "%v", row)
				continue
			}
			require.NoError(t, err, "%v", row)
			size := row[5].([]any)
			require.Equal(t, []int{int(size[0].(float64)), int(size[1].(float64))}, []int{h, w}, "%v", row)
		}
	})
	t.Run("resize", func(t *testing.T) {
		var rows [][3]int
		readJSON(t, filepath.Join(dir, "resize.json"), &rows)
		require.NotEmpty(t, rows)
		for _, row := range rows {
			in := decodeRGB(t, filepath.Join(dir, "resize_"+string(rune('0'+row[0]))+"_in.png"))
			want := decodeRGB(t, filepath.Join(dir, "resize_"+string(rune('0'+row[0]))+"_out.png"))
			got, err := imageproc.Resize(t.Context(), in, row[2], row[1])
			require.NoError(t, err)
			require.Equal(t, want.Pix, got.Pix, "resize %d", row[0])
		}
	})
	t.Run("tokens", func(t *testing.T) {
		path := filepath.Join(dir, "..", "..", "tokenizer-qwen3", "tokenizer.json")
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			t.Skipf("the Qwen3 tokenizer is not at %s (the rows are also in internal/bpe/testdata)", path)
		}
		require.NoError(t, err)
		tok, err := bpe.Load(data)
		require.NoError(t, err)
		var rows struct {
			Encode [][2]json.RawMessage
			Decode [][2]json.RawMessage
		}
		readJSON(t, filepath.Join(dir, "qwen3_tokens.json"), &rows)
		require.NotEmpty(t, rows.Encode)
		require.NotEmpty(t, rows.Decode)
		for _, row := range rows.Encode {
			var text string
			var want []int32
			require.NoError(t, json.Unmarshal(row[0], &text))
			require.NoError(t, json.Unmarshal(row[1], &want))
			got, err := tok.Encode(text)
			require.NoError(t, err)
			require.ElementsMatch(t, want, got, "%q", text)
			require.True(t, objectsEqual(append([]int32{}, want...), append([]int32{}, got...)), "%q", text)
		}
		for _, row := range rows.Decode {
			var ids []int32
			var want string
			require.NoError(t, json.Unmarshal(row[0], &ids))
			require.NoError(t, json.Unmarshal(row[1], &want))
			require.Equal(t, want, tok.Decode(ids, false), "%v", ids)
		}
	})
}

func decodeRGB(t *testing.T, path string) *imageproc.RGB {
	t.Helper()
	img, err := imageproc.DecodeFile(t.Context(), path, imageproc.Limits{})
	require.NoError(t, err)
	rgb, err := imageproc.ToRGB(t.Context(), img)
	require.NoError(t, err)
	return rgb
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}
