package aot

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const thunks = `001: kCopy         [source       | next=004 (3)] kCopy
002: kWhile        [prev=003 (1) | next=045 (1)]   
condition:
    003: kCustomKernel [source | sink] loop_and_fusion grid: [1, 1, 1] threads: [1, 1, 1]  shared_memory: 0 bytes
  body:
    004: kCustomKernel [source       | next=007 (1)] input_reduce_fusion_5 grid: [1, 1, 1] threads: [128, 1, 1]  shared_memory: 0 bytes
    005: kCuDnn        [prev=006 (1) | next=008 (1)] custom-call.1
006: kCustomKernel [prev=004 (1) | next=046 (1)] wrapped_add_1 grid: [1, 1, 1] threads: [1, 1, 1]  shared_memory: 0 bytes
`

const hlo = `HloModule main, is_scheduled=true, input_output_alias={ {0}: (2, {}, may-alias), {3}: (15, {}, may-alias) }, entry_computation_layout={(s32[])->s32[]}

%put (param_0: bf16[8,4], param_1: bf16[1,4], param_2: s32[]) -> bf16[8,4] {
  %param_0 = bf16[8,4]{1,0} parameter(0)
  %param_1 = bf16[1,4]{1,0} parameter(1)
  %param_2 = s32[] parameter(2)
  ROOT %dus = bf16[8,4]{1,0} dynamic-update-slice(%param_0, %param_1, %param_2, %param_2)
}

%both (param_0.1: bf16[8,4], param_1.1: f32[8]) -> (bf16[8,4], f32[8]) {
  %param_0.1 = bf16[8,4]{1,0} parameter(0)
  %param_1.1 = f32[8]{0} parameter(1)
  %scattered = bf16[8,4]{1,0} scatter(%param_0.1, %param_1.1, %param_1.1), to_apply=%add
  %twice = f32[8]{0} add(%param_1.1, %param_1.1)
  ROOT %tuple = (bf16[8,4]{1,0}, /*index=1*/f32[8]{0}) tuple(%scattered, %twice)
}

%join (param_0.2: bf16[8,4], param_1.2: bf16[8,4]) -> bf16[16,4] {
  %param_0.2 = bf16[8,4]{1,0} parameter(0)
  %param_1.2 = bf16[8,4]{1,0} parameter(1)
  ROOT %concatenate.1 = bf16[16,4]{1,0} concatenate(%param_0.2, %param_1.2), dimensions={0}
}

%round (arg: (bf16[8,4], f32[8])) -> (bf16[8,4], f32[8]) {
  %arg = (bf16[8,4]{1,0}, f32[8]{0}) parameter(0)
  %a = bf16[8,4]{1,0} get-tuple-element(%arg), index=0
  %wrapped_concatenate = bf16[16,4]{1,0} fusion(%a, %a), kind=kLoop, calls=%join
  %in_place = bf16[8,4]{1,0} fusion(%a, %a, %a), kind=kLoop, calls=%put
  %two = (bf16[8,4]{1,0}, f32[8]{0}) fusion(%in_place, %a), kind=kInput, calls=%both
  %attention = (bf16[1,2,8,4]{3,1,2,0}, f32[1,2,8]{2,1,0}, u8[0]{0}) custom-call(%a, %a, %a), custom_call_target="__cudnn$fmhaSoftmax", api_version=API_VERSION_STATUS_RETURNING
  ROOT %out = (bf16[8,4]{1,0}, f32[8]{0}) tuple(%in_place, %a)
}

ENTRY %main (p0: bf16[8,4], p1: pred[3]) -> bf16[8,4] {
  %p0 = bf16[8,4]{1,0} parameter(0)
  %copy.1 = bf16[8,4]{1,0} copy(%p0)
  %while.1 = (bf16[8,4]{1,0}, f32[8]{0}) while(%copy.1), condition=%cond, body=%round, backend_config={"known_trip_count":{"n":"8"}}
  ROOT %gte = bf16[8,4]{1,0} get-tuple-element(%while.1), index=0
}
`

func TestParse(t *testing.T) {
	p, err := parse(thunks, hlo)
	require.NoError(t, err)
	require.Equal(t, []Kernel{
		{"kCopy", "kCopy", false}, {"kWhile", "", false}, {"kCustomKernel", "loop_and_fusion", false},
		{"kCustomKernel", "input_reduce_fusion_5", true}, {"kCuDnn", "custom-call.1", true}, {"kCustomKernel", "wrapped_add_1", false},
	}, p.Kernels)
	require.Equal(t, 2, p.InLoop())
	require.Equal(t, map[int]int{2: 0, 15: 3}, p.Aliases)
	require.Equal(t, map[string]int{"__cudnn$fmhaSoftmax": 1}, p.Calls)
	require.Equal(t, []Write{
		{"attention", "__cudnn$fmhaSoftmax", 192, false, true},
		{"wrapped_concatenate", "concatenate", 128, true, true},
		{"copy.1", "copy", 64, true, false},
		{"two", "tuple", 32, false, true},
		{"in_place", "dynamic-update-slice", 0, false, true},
	}, p.Writes)
	require.Equal(t, p.Writes[:2], p.Large(128, true))
	require.Equal(t, p.Writes[2:3], p.Large(1, false))
	require.Contains(t, p.Writes[2].String(), "copy.1 (copy) of 64 bytes")
}

func TestParseRefuses(t *testing.T) {
	for _, texts := range [][2]string{{"", ""}, {thunks, "HloModule main"}, {"", hlo}} {
		_, err := parse(texts[0], texts[1])
		require.ErrorContains(t, err, "not as expected")
	}
}

func TestBytes(t *testing.T) {
	for shape, want := range map[string]int64{
		"f32[]": 4, "bf16[2,3]{1,0}": 12, "pred[5]": 5, "s4[3]{0}": 2, "f8e4m3fn[7]": 7, "u8[0]{0}": 0, "token[]": 0, "(f32[2]{0}, /*index=1*/s32[2]{0})": 16,
	} {
		require.Equal(t, want, bytes(shape), shape)
	}
}

func TestTarget(t *testing.T) {
	for _, name := range []string{EnvPlugin, EnvCUDA, EnvTarget, EnvFlags} {
		t.Setenv(name, "")
	}
	_, err := FromEnv()
	require.ErrorIs(t, err, ErrNotAsked)
	t.Setenv(EnvPlugin, "/nowhere/plugin.so")
	_, err = FromEnv()
	require.ErrorContains(t, err, "all or none")
	dir := t.TempDir()
	t.Setenv(EnvCUDA, dir)
	t.Setenv(EnvTarget, "/nowhere/h200.txtpb")
	_, err = New(Target{Plugin: "/nowhere/plugin.so", CUDA: dir, Config: "/nowhere/h200.txtpb"})
	require.Error(t, err)
	_, err = FromEnv()
	require.ErrorContains(t, err, "plugin.so")
}
