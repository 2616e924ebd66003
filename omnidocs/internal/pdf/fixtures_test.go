package pdf

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

func TestPasswords(t *testing.T) {
	for _, name := range []string{"encrypted_aes256.pdf", "encrypted_rc4.pdf"} {
		data := testdata(t, name)
		for password, right := range map[string]bool{"": false, "wrong": false, "sesame": true, "owner": true} {
			t.Run(name+" "+password, func(t *testing.T) {
				f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), password, limits)
				if !right {
					require.ErrorIs(t, err, ErrPassword)
					return
				}
				require.NoError(t, err)
				defer f.Close()
				text, err := f.Text(t.Context(), 0)
				require.NoError(t, err)
				require.Equal(t, "a secret", text)
			})
		}
	}
	// One that only its owner may change is read by all.
	f, err := openBytes(t, testdata(t, "encrypted_owner.pdf"), limits)
	require.NoError(t, err)
	text, err := f.Text(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "a secret", text)
}

// What was filled into a form is drawn, and is text.
func TestFormFields(t *testing.T) {
	f, err := openBytes(t, testdata(t, "form.pdf"), limits)
	require.NoError(t, err)
	for range 2 { // the second time the sandbox has made the fields part of the page already
		img, err := f.Render(t.Context(), 0, 144)
		require.NoError(t, err)
		dark := 0
		for y := 80; y < 140; y++ { // where the field is
			for x := 40; x < 340; x++ {
				if img.Pix[3*(y*img.W+x)] < 100 {
					dark++
				}
			}
		}
		require.Greater(t, dark, 50)
		text, err := f.Text(t.Context(), 0)
		require.NoError(t, err)
		require.Contains(t, text, "Name:")
		require.Contains(t, text, "Filled In")
	}
}

// Characters that UTF-16 writes as two are one, and nothing is cut off after them.
func TestTextOutsideTheBasicPlane(t *testing.T) {
	f, err := openBytes(t, testdata(t, "unicode.pdf"), limits)
	require.NoError(t, err)
	text, err := f.Text(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "😀𝐀😀𝐀 and more", text)
}
