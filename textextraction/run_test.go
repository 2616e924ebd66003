package textextraction

import (
	"encoding/json"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a result says of its run leads to the same request again.
func TestRun(t *testing.T) {
	cfg := QwenTextPyTorchConfig{Model: "reducto/RolmOCR", MaxNewTokens: 300, Seed: 9, MaxContinuations: 2, SystemPrompt: "s"}
	x, e := record(t, cfg, "text")
	first, err := x.ExtractWith(t.Context(), picture(1), Options{MaxPixels: 4096, Repetition: Repetition{MaxRewinds: 2}})
	require.NoError(t, err)
	require.Equal(t, &Run{
		Library: version().library, GoVersion: version().toolchain, Preset: "rolmocr", Prompt: mustPreset("rolmocr").Prompts.Markdown,
		SystemPrompt: "s", MaxNewTokens: 300, MaxContinuations: 2, MaxPixels: 4096, Sampling: Sampling{Temperature: 0.2, Seed: 9},
		Repetition: Repetition{MaxRewinds: 2}, ReadBlankPages: true,
	}, first.Run)
	require.NotEmpty(t, version().toolchain)
	data, err := json.Marshal(first.Run)
	require.NoError(t, err)
	var run Run
	require.NoError(t, json.Unmarshal(data, &run))
	require.Equal(t, *first.Run, run)
	_, err = x.ExtractWith(t.Context(), picture(1), run.Options(Markdown))
	require.NoError(t, err)
	require.Equal(t, e.requests[0], e.requests[1])
}

func TestVersionOf(t *testing.T) {
	module := func(path, version string) *debug.Module { return &debug.Module{Path: path, Version: version} }
	replaced := module(modulePath, "v1.2.3")
	replaced.Replace = module("../omnidocs", "")
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3":                  {Main: *module("example.com/x", ""), Deps: []*debug.Module{module("a", "v1"), module(modulePath, "v1.2.3")}},
		"(devel)":                 {Main: *module("example.com/x", ""), Deps: []*debug.Module{replaced}, Settings: vcs},
		"(devel) abc and changes": {Main: *module(modulePath, ""), Settings: vcs},
		"v2.0.0":                  {Main: *module(modulePath, "v2.0.0"), Settings: vcs},
		"":                        {Main: *module("example.com/x", "")},
	} {
		require.Equal(t, want, versionOf(info).library)
	}
}

// A page has the same bytes on every run, and the same text alone and among others, greedily and drawn.
func TestDeterminism(t *testing.T) {
	golden := filepath.Join("..", "qwen", "testdata", "golden", "qwen3_vl_two_images")
	for name, sampling := range map[string]Sampling{"greedy": {}, "drawn": {Temperature: 0.8, TopP: 0.9, Seed: 5}} {
		t.Run(name, func(t *testing.T) {
			read := func(batch int) (all []*ExtractResult) {
				x, err := NewQwenTextExtractor(t.Context(), QwenTextPyTorchConfig{Model: golden, Device: "go", BatchSize: batch, ReadBlankPages: true})
				require.NoError(t, err)
				defer func() { require.NoError(t, x.Close()) }()
				for r, err := range x.Batch(t.Context(), Images(pictures(3)...), BatchOptions{Options: Options{MaxNewTokens: 40, Sampling: sampling}}) {
					require.NoError(t, err)
					require.Len(t, r.Run.SpecHash, 64)
					r.Timings = Timings{}
					all = append(all, r)
				}
				return all
			}
			asJSON := func(all []*ExtractResult) string {
				data, err := json.Marshal(all)
				require.NoError(t, err)
				return string(data)
			}
			alone := read(1)
			require.Equal(t, asJSON(alone), asJSON(read(1)))
			together := read(3)
			for i, r := range together {
				// The last digits of float32 may differ in a batch of another size, see Confidence.
				require.InDelta(t, alone[i].Confidence.Mean, r.Confidence.Mean, 2e-4)
				require.Len(t, r.Elements, len(alone[i].Elements))
				for j := range r.Elements {
					r.Elements[j].Confidence = alone[i].Elements[j].Confidence
				}
				r.Confidence, r.UncertainSpans = alone[i].Confidence, alone[i].UncertainSpans
			}
			require.Equal(t, asJSON(alone), asJSON(together))
		})
	}
}
