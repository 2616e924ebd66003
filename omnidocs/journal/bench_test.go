package journal

import (
	"fmt"
	"image"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPut keeps results of 8 kB, each on the disk before the next, by one and by sixteen at a time.
func BenchmarkPut(b *testing.B) {
	data := []byte(strings.Repeat("x", 8192))
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d", writers), func(b *testing.B) {
			j, err := Open(b.TempDir())
			require.NoError(b, err)
			b.SetParallelism(writers)
			b.SetBytes(int64(len(data)))
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					if err := j.Put(NewKey(fmt.Append(nil, n)), data); err != nil {
						b.Error(err)
					}
				}
			})
			require.NoError(b, j.Close())
		})
	}
}

// BenchmarkOpen opens a journal of 10,000 results of 8 kB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j, err := Open(dir)
	require.NoError(b, err)
	data := []byte(strings.Repeat("x", 8192))
	for n := range 10000 {
		_, err := j.append(record{put, NewKey(fmt.Append(nil, n)), data})
		require.NoError(b, err)
	}
	require.NoError(b, j.Close())
	b.SetBytes(10000 * 8192)
	for b.Loop() {
		j, err := Open(dir)
		require.NoError(b, err)
		require.Equal(b, 10000, j.Len())
		require.NoError(b, j.Close())
	}
}

// BenchmarkImageKey hashes a page of A4 at 150 dpi.
func BenchmarkImageKey(b *testing.B) {
	for name, img := range map[string]image.Image{"rgba": image.NewRGBA(image.Rect(0, 0, 1240, 1754)), "gray": image.NewGray(image.Rect(0, 0, 1240, 1754))} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ImageKey(img)
			}
		})
	}
}
