"""Makes torch.safetensors: numbers that are hard to round, and what torch makes of them.

Run with torch 2.x and safetensors 0.6 or later: python make_torch.py
"""
import numpy as np
import torch
from safetensors.torch import save_file

rng = np.random.default_rng(3)
edges = np.array([0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001, 0x477FEFFF, 0x477FF000,
                  0x38800000, 0x387FFFFF, 0x33000000, 0x33000001, 0x32FFFFFF, 0x00000001, 0x7F7FFFFF, 0xFF7FFFFF,
                  0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x3F801000, 0x3F803000], dtype=np.uint32)
uniform = rng.integers(0, 1 << 32, 2048, dtype=np.uint32)  # all exponents
half_range = (rng.standard_normal(2025) * 10.0 ** rng.integers(-8, 6, 2025)).astype(np.float32).view(np.uint32)
bits = np.concatenate([edges, uniform, half_range])
x = torch.from_numpy(bits.view(np.float32)).reshape(64, 64)
tensors = {"f32": x, "bf16": x.bfloat16(), "f16": x.half(), "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3),
           "ids": torch.arange(5), "f32.bf16.f16": x.bfloat16().half(), "f32.f16.bf16": x.half().bfloat16()}
save_file({k: v.contiguous() for k, v in tensors.items()}, "torch.safetensors", metadata={"format": "pt"})
