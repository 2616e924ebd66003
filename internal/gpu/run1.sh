#!/usr/bin/env bash
# Run 1, at most 8 minutes: does it live, is it right.
run=1
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
small=${SHAPES%% *}

step "machine" 20 bash -c 'nvidia-smi -q | head -120; command -v ptxas; ls /usr/local | grep -i cuda; python3 -m pip list 2>/dev/null | grep -iE "jax|nvidia|torch|transformers"; nproc; free -g'
# These two tell the machine's faults from ours, and are what everything else is a share of.
step "torch: copy and product" 60 python3 -c '
import json, time, torch
def best(f, n=5):
    f(); torch.cuda.synchronize(); t = []
    for _ in range(n):
        s = time.time(); f(); torch.cuda.synchronize(); t.append(time.time() - s)
    return min(t)
a = torch.randn(1 << 30, dtype=torch.bfloat16, device="cuda"); b = torch.empty_like(a)
x = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
print(json.dumps(dict(gpu=torch.cuda.get_device_name(), copy_gb_s=4 * a.numel() / best(lambda: b.copy_(a)) / 1e9, product_tflop_s=2 * 8192**3 / best(lambda: x @ x) / 1e12)))'
step "jax: a product" 60 python3 -c 'import jax, jax.numpy as j; x = j.ones((4096, 4096), "bfloat16"); print(jax.devices(), (x @ x).sum())'

export TF_CPP_MIN_LOG_LEVEL=0
with "--xla_dump_to=$OUT/dump --xla_dump_hlo_as_text" tests "smoke: one golden case" 120 qwen 'TestGolden/^qwen3_vl$'
export TF_CPP_MIN_LOG_LEVEL=1
cp "$OUT"/dump/*gpu_target_config.pbtxt "$OUT/gpu_target_config.pbtxt" 2>/dev/null
# Each graph of a loop runs more than once in these: once was a fault of graphs with conditions.
tests "loops equal steps" 150 qwen 'TestDecode'
with "--xla_gpu_enable_command_buffer=+WHILE" tests "loops in CUDA graphs equal steps" 120 qwen 'TestDecode'
tests "goldens" 180 qwen 'TestGolden'
tests "bfloat16, with cuDNN's attention" 120 qwen 'TestHalfPrecision'
GOMLX_FUSION=0 tests "bfloat16, without it" 120 qwen 'TestHalfPrecision'
tests "slots, rewinding, other sizes of cache" 150 qwen 'TestSlotsAreApart|TestRewind|TestFit'
tests "the engine" 150 backend 'TestBatchEqualsAlone|TestTokensACall|TestGenerateCanceled'
checkpoint "$small"
bench "first numbers" 120 "$small" -batch 1 -runs 2
