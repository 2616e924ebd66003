package textextraction

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOptionsResolve(t *testing.T) {
	s, err := QwenTextPyTorchConfig{
		MaxNewTokens: 1000, Temperature: 0.5, TopK: 20, TopP: 0.8, Seed: 7, MinPixels: 100, MaxPixels: 200, SystemPrompt: "be exact",
	}.check()
	require.NoError(t, err)
	ofConfig := Options{
		Prompt: "qwenvl markdown", SystemPrompt: "be exact", MaxNewTokens: 1000, MinPixels: 100, MaxPixels: 200,
		Sampling: Sampling{Temperature: 0.5, TopK: 20, TopP: 0.8, Seed: 7},
	}
	with := func(change func(*Options)) Options {
		o := ofConfig
		change(&o)
		return o
	}
	for _, row := range []struct {
		name string
		in   Options
		want Options
	}{
		{"zero", Options{}, ofConfig},
		{"html", Options{Format: HTML}, with(func(o *Options) { o.Format, o.Prompt = HTML, "qwenvl html" })},
		{"prompt", Options{Prompt: "read"}, with(func(o *Options) { o.Prompt = "read" })},
		{"system", Options{SystemPrompt: "s"}, with(func(o *Options) { o.SystemPrompt = "s" })},
		{"tokens", Options{MaxNewTokens: 1}, with(func(o *Options) { o.MaxNewTokens = 1 })},
		{"pixels", Options{MinPixels: 150, MaxPixels: 150}, with(func(o *Options) { o.MinPixels, o.MaxPixels = 150, 150 })},
		{"sampling", Options{Sampling: Sampling{Temperature: 1}}, with(func(o *Options) { o.Sampling = Sampling{Temperature: 1} })},
		{"loops", Options{Repetition: Repetition{Off: true}}, with(func(o *Options) { o.Repetition = Repetition{Off: true} })},
		{"greedy", Options{Sampling: Greedy}, with(func(o *Options) { o.Sampling = Sampling{TopK: 1} })},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := s.resolve(row.in)
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
	require.Zero(t, Greedy.Temperature)
	require.NotEqual(t, Sampling{}, Greedy)
}

func TestOptionsErrors(t *testing.T) {
	s, err := QwenTextPyTorchConfig{MaxPixels: 1000}.check()
	require.NoError(t, err)
	for _, row := range []struct {
		o    Options
		is   error
		want string
	}{
		{Options{Format: 9}, ErrFormat, "invalid output_format: 9. Expected 'html' or 'markdown'"},
		{Options{MaxNewTokens: -1}, ErrConfig, "Options: MaxNewTokens: -1 is outside 1 to 32768"},
		{Options{MaxNewTokens: 32769}, ErrConfig, "MaxNewTokens: 32769"},
		{Options{Repetition: Repetition{MaxRewinds: 9}}, ErrConfig, "Repetition.MaxRewinds is 9"},
		{Options{Sampling: Sampling{Temperature: 2.5}}, ErrConfig, "Temperature: 2.5 is outside 0 to 2"},
		{Options{MinPixels: -1}, ErrConfig, "MinPixels: -1 is negative"},
		{Options{MinPixels: 1001}, ErrConfig, "Options over QwenTextPyTorchConfig: MinPixels: 1001 is more than MaxPixels, 1000"},
	} {
		_, err := s.resolve(row.o)
		require.ErrorIs(t, err, row.is)
		require.ErrorContains(t, err, row.want)
	}
}
