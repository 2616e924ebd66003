package program_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/program"
)

func TestStats(t *testing.T) {
	b, c := newCache(t)
	seen := map[string]time.Duration{}
	c.Observe(func(p program.Cost) {
		seen[p.Name] = p.CompileTime
		require.Positive(t, c.Stats().Programs, "an observer may ask")
	})
	require.Zero(t, c.Stats())
	require.Empty(t, c.ByProgram())

	slow := func(b *program.Builder) []*graph.Node {
		time.Sleep(5 * time.Millisecond)
		return double(b)
	}
	p, err := c.Get("slow", slow)
	require.NoError(t, err)
	_, err = c.Get("never run", double)
	require.NoError(t, err)
	_, err = c.Get("bad", func(*program.Builder) []*graph.Node { panic("no") })
	require.Error(t, err)
	for range 3 {
		_, err := c.Get("slow", slow)
		require.NoError(t, err)
		_, err = p.Run(t.Context(), []compute.Buffer{upload(t, b, 1, 2)})
		require.NoError(t, err)
	}
	_, err = p.Run(t.Context(), nil)
	require.Error(t, err)
	_, err = p.Run(t.Context(), []compute.Buffer{upload(t, b, 1, 2, 3)})
	require.Error(t, err)

	s := c.Stats()
	require.Equal(t, program.Stats{Compilations: 2, Programs: 2, Calls: 3, CompileTime: s.CompileTime, CallTime: s.CallTime}, s)
	require.GreaterOrEqual(t, s.CompileTime, 5*time.Millisecond)
	require.Positive(t, s.CallTime)
	all := c.ByProgram()
	require.Len(t, all, 2)
	require.Equal(t, program.Cost{Name: "slow", Calls: 3, CallTime: s.CallTime, CompileTime: all[0].CompileTime}, all[0])
	require.Equal(t, program.Cost{Name: "never run", CompileTime: all[1].CompileTime}, all[1])
	require.Equal(t, s.CompileTime, all[0].CompileTime+all[1].CompileTime)
	require.Equal(t, map[string]time.Duration{"slow": all[0].CompileTime, "never run": all[1].CompileTime}, seen)

	c.Close()
	require.Zero(t, c.Stats())
}

func TestStatsBesideRuns(t *testing.T) {
	_, c := newCache(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				if _, err := c.Get(fmt.Sprint(i%2, j), double); err != nil {
					t.Error(err)
				}
				c.Stats()
				c.ByProgram()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 10, c.Stats().Compilations)
}
