package textextraction

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigDefaults(t *testing.T) {
	c := QwenTextPyTorchConfig{}.withDefaults()
	require.Equal(t, "Qwen/Qwen3-VL-8B-Instruct", c.Model)
	require.Equal(t, "auto", c.TorchDtype)
	require.Equal(t, 8192, c.MaxNewTokens)
	require.Equal(t, 1, c.BatchSize)
	require.Zero(t, c.Temperature, "greedy")
	require.NotNil(t, c.Logger)
	require.NoError(t, c.validate())

	s, err := QwenTextPyTorchConfig{}.check()
	require.NoError(t, err)
	require.NotNil(t, s.logger)
	s.logger = nil
	require.Equal(t, settings{
		config: "QwenTextPyTorchConfig", batchSize: 1, options: Options{MaxNewTokens: 8192},
	}, s)
}

func TestConfigRanges(t *testing.T) {
	for _, row := range []struct {
		name string
		c    QwenTextPyTorchConfig
		want string // in the error; empty: there is none
	}{
		{"python's defaults", QwenTextPyTorchConfig{
			Model: "Qwen/Qwen3-VL-8B-Instruct", Device: "cuda", TorchDtype: "auto", DeviceMap: "auto",
			TrustRemoteCode: true, MaxNewTokens: 8192, Temperature: 0.1,
		}, ""},
		{"least", QwenTextPyTorchConfig{MaxNewTokens: 256, TopP: 1e-9, TopK: 1, BatchSize: 1, MinPixels: 1, MaxPixels: 1}, ""},
		{"most", QwenTextPyTorchConfig{MaxNewTokens: 32768, Temperature: 2, TopP: 1, BatchSize: 1024}, ""},
		{"few tokens", QwenTextPyTorchConfig{MaxNewTokens: 255}, "MaxNewTokens: 255 is outside 256 to 32768"},
		{"many tokens", QwenTextPyTorchConfig{MaxNewTokens: 32769}, "MaxNewTokens: 32769 is outside 256 to 32768"},
		{"negative tokens", QwenTextPyTorchConfig{MaxNewTokens: -1}, "MaxNewTokens: -1 is outside"},
		{"cold", QwenTextPyTorchConfig{Temperature: -0.1}, "Temperature: -0.1 is outside 0 to 2"},
		{"hot", QwenTextPyTorchConfig{Temperature: 2.1}, "Temperature: 2.1 is outside 0 to 2"},
		{"no number", QwenTextPyTorchConfig{Temperature: math.NaN()}, "Temperature: NaN is outside"},
		{"top p", QwenTextPyTorchConfig{TopP: 1.5}, "TopP: 1.5 is outside 0 to 1"},
		{"top p no number", QwenTextPyTorchConfig{TopP: math.NaN()}, "TopP: NaN"},
		{"top k", QwenTextPyTorchConfig{TopK: -1}, "TopK: -1 is outside"},
		{"dtype", QwenTextPyTorchConfig{TorchDtype: "int4"}, `TorchDtype: "int4" is not one of auto, float32, bfloat16, float16`},
		{"device map", QwenTextPyTorchConfig{DeviceMap: "balanced"}, `DeviceMap: "balanced" is not supported`},
		{"flash attention", QwenTextPyTorchConfig{UseFlashAttention: true}, "UseFlashAttention: true is not supported"},
		{"pixels", QwenTextPyTorchConfig{MinPixels: 10, MaxPixels: 9}, "MinPixels: 10 is more than MaxPixels, 9"},
		{"negative pixels", QwenTextPyTorchConfig{MaxPixels: -9}, "MaxPixels: -9 is negative"},
		{"batch", QwenTextPyTorchConfig{BatchSize: 1025}, "BatchSize: 1025 is outside 1 to 1024"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := row.c.check()
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, "textextraction: invalid configuration: QwenTextPyTorchConfig: ")
			require.ErrorContains(t, err, row.want)
		})
	}
	_, err := QwenTextPyTorchConfig{MaxNewTokens: 1, Temperature: 3, BatchSize: -1}.check()
	for _, field := range []string{"MaxNewTokens", "Temperature", "BatchSize"} {
		require.ErrorContains(t, err, field, "all faults are told at once")
	}
}

func TestConfigJSON(t *testing.T) {
	var c QwenTextPyTorchConfig
	// What Python's model_dump_json writes for its defaults.
	require.NoError(t, json.Unmarshal([]byte(`{"model":"Qwen/Qwen3-VL-8B-Instruct","device":"cuda","torch_dtype":"auto",
		"device_map":"auto","trust_remote_code":true,"use_flash_attention":false,"cache_dir":null,"max_new_tokens":8192,
		"temperature":0.1}`), &c))
	require.Equal(t, QwenTextPyTorchConfig{
		Model: "Qwen/Qwen3-VL-8B-Instruct", Device: "cuda", TorchDtype: "auto", DeviceMap: "auto", TrustRemoteCode: true,
		MaxNewTokens: 8192, Temperature: 0.1,
	}, c)
	text, err := json.Marshal(QwenTextPyTorchConfig{})
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(text))

	before := c
	for _, bad := range []string{`{"load_in_4bit":true}`, `{"model":1}`, `{"seed":-1}`, `[]`, `{"max_tokens":9}`} {
		require.ErrorContains(t, json.Unmarshal([]byte(bad), &c), "textextraction: QwenTextPyTorchConfig: ", bad)
		require.Equal(t, before, c)
	}
	require.ErrorContains(t, json.Unmarshal([]byte(`{"load_in_4bit":true}`), &c), `unknown field "load_in_4bit"`)
}

// TestConfigJSONRoundTrip sets every field that JSON has, so that a field without a tag, or with another's, is found.
func TestConfigJSONRoundTrip(t *testing.T) {
	var c QwenTextPyTorchConfig
	fill(t, reflect.ValueOf(&c).Elem())
	text, err := json.Marshal(c)
	require.NoError(t, err)
	var back QwenTextPyTorchConfig
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, c, back)
	for field := range strings.SplitSeq("model revision device torch_dtype device_map trust_remote_code use_flash_attention "+
		"quantization cache_dir max_new_tokens temperature top_p top_k seed min_pixels max_pixels system_prompt batch_size", " ") {
		require.Contains(t, string(text), `"`+field+`":`)
	}
	require.Contains(t, string(text), `"preset":`)
	require.Contains(t, string(text), `"custom_preset":`)
}

// fill sets every field of a struct that JSON has to a value of its own.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Tag.Get("json") == "-" || !field.IsExported() {
			continue
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("text of " + v.Type().Field(i).Name)
		case reflect.Int, reflect.Int64:
			if _, ok := f.Interface().(Format); ok {
				f.SetInt(int64(HTML))
			} else {
				f.SetInt(int64(1_000_000_007 * (i + 1)))
			}
		case reflect.Uint64:
			f.SetUint(math.MaxUint64 - uint64(i))
		case reflect.Float64:
			f.SetFloat(0.1 * float64(i+1))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Struct:
			fill(t, f)
		case reflect.Pointer: // to a struct
			f.Set(reflect.New(f.Type().Elem()))
			fill(t, f.Elem())
		case reflect.Slice: // of numbers, strings or structs
			if f.Type().Elem().Kind() == reflect.Slice {
				continue // a table's rows, which the test has of its own
			}
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			switch e := f.Index(0); e.Kind() {
			case reflect.String:
				e.SetString("text of " + v.Type().Field(i).Name)
			case reflect.Int:
				e.SetInt(int64(i))
			default:
				fill(t, e)
			}
		case reflect.Array: // of ints
			for j := range f.Len() {
				f.Index(j).SetInt(int64(j + 1))
			}
		default:
			require.Fail(t, "fill does not know", "%s", f.Type())
		}
	}
}
