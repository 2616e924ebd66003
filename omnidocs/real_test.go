package omnidocs_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
)

// realPDFs lists PDFs that nobody here made. Any folder of them will do, for instance those in the documentation packages
// of a Linux distribution:
//
//	OMNIDOCS_PDFS=/path/to/pdfs go test ./omnidocs -run 'Real|Hostile' -v
func realPDFs(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("OMNIDOCS_PDFS")
	if dir == "" {
		t.Skip("OMNIDOCS_PDFS is not set to a folder of PDFs")
	}
	b, err := omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Recursive: true})
	require.NoError(t, err)
	require.NotZero(t, b.Count(), "no PDFs in %s", dir)
	return b.Paths()
}

// TestRealPDFs opens each, renders pages from its beginning, middle and end, and reads the text of all.
func TestRealPDFs(t *testing.T) {
	for _, path := range realPDFs(t) {
		start := time.Now()
		doc, err := omnidocs.Open(t.Context(), path, omnidocs.LoadOptions{})
		require.NoError(t, err)
		opened := time.Since(start)
		n := doc.PageCount()
		start = time.Now()
		var size image.Point
		pages := []int{0, n / 2, n - 1}
		for _, i := range pages {
			img, err := doc.Page(t.Context(), i)
			require.NoError(t, err)
			w, h, err := doc.PageSize(t.Context(), i)
			require.NoError(t, err)
			size = img.Bounds().Size()
			require.Equal(t, image.Pt(w, h), size)
		}
		rendered := time.Since(start) / time.Duration(len(pages))
		start = time.Now()
		text, err := doc.Text(t.Context())
		require.NoError(t, err)
		t.Logf("%-28s %5d pages, opened %4d ms, %v in %4d ms a page, %6d words in %5d ms", filepath.Base(path), n, opened.Milliseconds(),
			size, rendered.Milliseconds(), len(strings.Fields(text)), time.Since(start).Milliseconds())
		require.NoError(t, doc.Close())
	}
}

// TestRealPDFsMemory goes through the longest of them, page by page.
func TestRealPDFsMemory(t *testing.T) {
	var longest *omnidocs.Document
	for _, path := range realPDFs(t) {
		doc, err := omnidocs.Open(t.Context(), path, omnidocs.LoadOptions{})
		require.NoError(t, err)
		if longest != nil && longest.PageCount() >= doc.PageCount() {
			require.NoError(t, doc.Close())
			continue
		}
		if longest != nil {
			require.NoError(t, longest.Close())
		}
		longest = doc
	}
	defer longest.Close()
	peak, n, start := uint64(0), 0, time.Now()
	for _, err := range longest.Pages(t.Context()) {
		require.NoError(t, err)
		if n++; n%10 == 0 {
			peak = max(peak, heap())
		}
	}
	t.Logf("%v: peak of the heap, with the sandbox: %d MB, %v a page", longest, peak>>20, time.Since(start)/time.Duration(n))
	require.Less(t, peak, uint64(400<<20))
}

// heap is what is on the heap, garbage included; the sandboxes' memory is there too.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestHostilePDFs flips bits, cuts and swaps parts of the PDFs, OMNIDOCS_HOSTILE times in all (default 200).
func TestHostilePDFs(t *testing.T) {
	count := 200
	if text := os.Getenv("OMNIDOCS_HOSTILE"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	var originals [][]byte
	for _, path := range realPDFs(t) {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if len(data) < 1<<20 {
			originals = append(originals, data)
		}
	}
	require.NotEmpty(t, originals, "none is smaller than 1 MiB")
	rng := rand.New(rand.NewPCG(7, 7))
	outcomes := map[string]int{}
	goroutines := runtime.NumGoroutine()
	var slowest time.Duration
	for range count {
		start := time.Now()
		outcomes[tryHostile(t.Context(), damage(rng, originals[rng.IntN(len(originals))]))]++
		slowest = max(slowest, time.Since(start))
	}
	for outcome, n := range outcomes {
		t.Logf("%5d %s", n, outcome)
	}
	t.Logf("the slowest took %v; %d MB on the heap", slowest, heap()>>20)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+8 }, time.Minute, 10*time.Millisecond,
		"goroutines are left")
	require.Zero(t, outcomes["another error"])
}

func damage(rng *rand.Rand, original []byte) []byte {
	data := append([]byte{}, original...)
	switch rng.IntN(8) {
	case 0: // cut off
		return data[:rng.IntN(len(data))]
	case 1: // a piece of it twice
		a, b := rng.IntN(len(data)), rng.IntN(len(data))
		copy(data[a:], data[b:min(len(data), b+1+rng.IntN(5000))])
	case 2: // digits, which are sizes, counts and references
		for range 20 {
			i := rng.IntN(len(data))
			for n := 0; n < 10000 && i < len(data) && (data[i] < '0' || data[i] > '9'); n++ {
				i++
			}
			if i < len(data) {
				data[i] = '0' + byte(rng.IntN(10))
			}
		}
	default:
		for range 1 + rng.IntN(200) {
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
		}
	}
	return data
}

// tryHostile opens the document and reads some of its pages, and says how that ended.
func tryHostile(ctx context.Context, data []byte) string {
	doc, err := omnidocs.FromBytes(ctx, data, "hostile.pdf", omnidocs.LoadOptions{DPI: 72, PageTimeout: 20 * time.Second})
	var (
		load        *omnidocs.DocumentLoadError
		unsupported *omnidocs.UnsupportedFormatError
		page        *omnidocs.PageError
	)
	switch {
	case errors.As(err, &load):
		return "load: " + kind(err)
	case errors.As(err, &unsupported):
		return "unsupported format"
	case err != nil:
		return "another error"
	}
	defer doc.Close()
	outcome := "read"
	for i := range min(3, doc.PageCount()) {
		_, err1 := doc.Page(ctx, i)
		_, err2 := doc.PageText(ctx, i)
		if err := errors.Join(err1, err2); err != nil {
			outcome = "another error"
			if errors.As(err, &page) {
				outcome = "page: " + kind(err)
			}
		}
	}
	return outcome
}

// kind is the part of an error's text that does not depend on the file.
func kind(err error) string {
	for _, part := range []string{"took too long", "broke down", "too large", "password", "cut short", "says that it has", "not there", "no size", "no pages", "no bytes", "encryption"} {
		if strings.Contains(err.Error(), part) {
			return part
		}
	}
	return fmt.Sprint(err)
}
