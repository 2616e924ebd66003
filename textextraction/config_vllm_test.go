package textextraction

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
)

func TestVLLMConfigRanges(t *testing.T) {
	for _, row := range []struct {
		name string
		c    QwenTextVLLMConfig
		want string // in the error; empty: there is none
	}{
		{"nothing", QwenTextVLLMConfig{}, ""},
		{"the guide's", QwenTextVLLMConfig{TensorParallelSize: 1, MaxTokens: 4096, MaxModelLen: 1024, TrustRemoteCode: true, EnforceEager: true}, ""},
		{"int8", QwenTextVLLMConfig{Quantization: "int8", MaxNumSeqs: 1024}, ""},
		{"parallel", QwenTextVLLMConfig{TensorParallelSize: 2}, ""},
		{"parallel and copied", QwenTextVLLMConfig{TensorParallelSize: 2, Devices: 4}, ""},
		{"negative", QwenTextVLLMConfig{TensorParallelSize: -2}, "TensorParallelSize: -2 is negative"},
		{"no multiple", QwenTextVLLMConfig{TensorParallelSize: 2, DeviceIDs: []int{0, 1, 2}}, "Devices: 3 is no multiple of TensorParallelSize, 2"},
		{"fewer devices", QwenTextVLLMConfig{Devices: -1}, "Devices: -1 is negative"},
		{"two counts", QwenTextVLLMConfig{Devices: 3, DeviceIDs: []int{0, 1}}, "Devices: 3 is not the number of DeviceIDs, 2"},
		{"a device twice", QwenTextVLLMConfig{DeviceIDs: []int{1, 1}}, "DeviceIDs: [1 1] are not different numbers from 0 up"},
		{"memory", QwenTextVLLMConfig{GPUMemoryUtilization: 1.1}, "GPUMemoryUtilization: 1.1 is outside 0.1 to 1"},
		{"the guide's memory", QwenTextVLLMConfig{GPUMemoryUtilization: 0.9}, ""},
		{"two limits", QwenTextVLLMConfig{GPUMemoryUtilization: 0.9, MemoryLimit: 1 << 30}, "MemoryLimit: 1073741824 is given together"},
		{"retries", QwenTextVLLMConfig{OutOfMemoryRetries: 9}, "OutOfMemoryRetries: 9 is outside 0 to 8"},
		{"context", QwenTextVLLMConfig{MaxModelLen: 1023}, "MaxModelLen: 1023 is less than 1024"},
		{"tokens", QwenTextVLLMConfig{MaxTokens: 255}, "MaxTokens: 255 is outside 256 to 32768"},
		{"slots", QwenTextVLLMConfig{MaxNumSeqs: -1}, "MaxNumSeqs: -1 is outside 1 to 1024"},
		{"quantization", QwenTextVLLMConfig{Quantization: "awq"}, `Quantization: "awq" is not "" or "int8"`},
		{"two types", QwenTextVLLMConfig{Quantization: "int8", TorchDtype: "bfloat16"}, `TorchDtype: "bfloat16" is given together with Quantization`},
		{"hot", QwenTextVLLMConfig{Temperature: 3}, "Temperature: 3 is outside 0 to 2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := row.c.check()
			if row.want == "" {
				require.NoError(t, err)
				require.Equal(t, "QwenTextVLLMConfig", s.config)
				return
			}
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, "textextraction: invalid configuration: QwenTextVLLMConfig: ")
			require.ErrorContains(t, err, row.want)
		})
	}
	_, err := QwenTextVLLMConfig{MaxTokens: 1, TensorParallelSize: -4}.check()
	require.ErrorContains(t, err, "MaxTokens")
	require.ErrorContains(t, err, "TensorParallelSize", "all faults are told at once")
	s, err := QwenTextVLLMConfig{}.check()
	require.NoError(t, err)
	require.Equal(t, 8192, s.options.MaxNewTokens)
	s, err = QwenTextVLLMConfig{TensorParallelSize: 2, Devices: 6, MaxNumSeqs: 5}.check()
	require.NoError(t, err)
	require.Equal(t, 15, s.batchSize, "three engines of five")
	s, err = QwenTextPyTorchConfig{DeviceIDs: []int{3, 1}, BatchSize: 4}.check()
	require.NoError(t, err)
	require.Equal(t, 8, s.batchSize)
}

func TestVLLMConfigJSON(t *testing.T) {
	var c QwenTextVLLMConfig
	fill(t, reflect.ValueOf(&c).Elem())
	text, err := json.Marshal(c)
	require.NoError(t, err)
	var back QwenTextVLLMConfig
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, c, back)
	for _, field := range []string{
		"model", "tensor_parallel_size", "gpu_memory_utilization", "max_model_len", "trust_remote_code", "enforce_eager", "max_tokens",
		"temperature", "devices", "device_ids", "download_dir", "disable_custom_all_reduce", "quantization",
	} {
		require.Contains(t, string(text), `"`+field+`":`)
	}
	require.ErrorContains(t, json.Unmarshal([]byte(`{"max_new_tokens":300}`), &back), "textextraction: QwenTextVLLMConfig: ")
}

// Pages of one extractor are read together, in int8 as well, and each as it is read alone.
func TestVLLMConfigReads(t *testing.T) {
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 384, Height: 128})
	require.NoError(t, err)
	for _, quantization := range []string{"", "int8"} {
		x, err := NewQwenTextExtractor(t.Context(), QwenTextVLLMConfig{
			Model: TinyModel, Device: "go", Quantization: quantization, MaxNumSeqs: 2, MaxTokens: 256, EnforceEager: quantization == "",
		})
		require.NoError(t, err)
		alone, err := x.Extract(t.Context(), page.Image, Markdown)
		require.NoError(t, err)
		require.Positive(t, alone.WordCount)
		n := 0
		for r, err := range x.Batch(t.Context(), Images(page.Image, page.Image, page.Image), BatchOptions{}) {
			require.NoError(t, err)
			require.Equal(t, alone.Content, r.Content)
			n++
		}
		require.Equal(t, 3, n)
		require.NoError(t, x.Close())
	}
}

// What memory is asked for decides how many pages are read together, and a model that does not fit is refused with its plan.
func TestVLLMConfigMemory(t *testing.T) {
	c := QwenTextVLLMConfig{Model: TinyModel, Device: "go", EnforceEager: true, MaxPixels: 100_000}
	plan, err := MakePlan(t.Context(), c, PlanPage{})
	require.NoError(t, err)
	require.True(t, plan.Fits)
	require.Equal(t, 8, plan.Slots)
	c.MemoryLimit = plan.Total - plan.Cache.Most()/2
	smaller, err := MakePlan(t.Context(), c, PlanPage{})
	require.NoError(t, err)
	require.True(t, smaller.Fits, smaller)
	require.Less(t, smaller.Slots, 8)
	x, err := NewQwenTextExtractor(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, smaller.Slots, x.Plan().Slots)
	require.Equal(t, smaller.Slots, x.settings.batchSize)
	require.NoError(t, x.Close())

	c.MemoryLimit = 1 << 20
	_, err = NewQwenTextExtractor(t.Context(), c)
	require.ErrorIs(t, err, ErrOutOfMemory)
	var oom *OutOfMemoryError
	require.ErrorAs(t, err, &oom)
	require.False(t, oom.Plan.Fits)
	_, err = NewQwenTextExtractor(t.Context(), QwenTextPyTorchConfig{Model: TinyModel, Device: "go", MemoryLimit: 1 << 20})
	require.ErrorIs(t, err, ErrOutOfMemory)
	_, err = MakePlan(t.Context(), QwenTextAPIConfig{}, PlanPage{})
	require.ErrorIs(t, err, ErrConfig)
	one, err := MakePlan(t.Context(), QwenTextPyTorchConfig{Model: TinyModel, Device: "go", MaxPixels: 65536}, PlanPage{Width: 100, Height: 100})
	require.NoError(t, err)
	require.Equal(t, 1, one.Slots)
}
