package backend

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompileCacheFolder(t *testing.T) {
	for _, c := range []struct {
		name, option string
		env          map[string]string
		home, want   string
	}{
		{name: "the user's", home: "/home/u", want: "/home/u/.cache/omnidocs/compiled"},
		{name: "XDG", env: map[string]string{"XDG_CACHE_HOME": "/caches"}, home: "/home/u", want: "/caches/omnidocs/compiled"},
		{name: "no home"},
		{name: "the environment's", env: map[string]string{CompileCacheEnv: "/e"}, home: "/home/u", want: "/e"},
		{name: "off by the environment", env: map[string]string{CompileCacheEnv: "OFF"}, home: "/home/u"},
		{name: "the option's", option: "/o", env: map[string]string{CompileCacheEnv: "/e"}, want: "/o"},
		{name: "off by the option", option: "off", env: map[string]string{CompileCacheEnv: "/e"}, home: "/home/u"},
		{name: "on by the option", option: "/o", env: map[string]string{CompileCacheEnv: "off"}, want: "/o"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := place{getenv: func(name string) string { return c.env[name] }, home: c.home}
			got, err := at.compileCacheFolder(c.option)
			require.NoError(t, err)
			require.Equal(t, filepath.FromSlash(c.want), got)
		})
	}
	got, err := place{getenv: func(string) string { return "" }}.compileCacheFolder("relative")
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(got))
}
