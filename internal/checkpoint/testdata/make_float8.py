"""Makes float8.safetensors: all 256 codes of each float type of 8 bits, and the float32 that torch makes of them.

Run with torch 2.7 and safetensors 0.6 or later: python make_float8.py
"""
import torch
from safetensors.torch import save_file

codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
tensors = {}
for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu):
    name = str(dtype).removeprefix("torch.")
    tensors[name] = codes.clone().view(dtype)
    tensors[name + ".f32"] = codes.view(dtype).to(torch.float32)
save_file(tensors, "float8.safetensors", metadata={"format": "pt"})
