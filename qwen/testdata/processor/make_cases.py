#!/usr/bin/env python3
"""Writes pixel_values.json with transformers 5.23 (torchvision 0.28): for pictures of noise (the LCG of texturedPage in
processor_bench_test.go) and settings of the image processor, the grid and the CRC-32 of pixel_values as little-endian
float32. The row without a size is qwen2_vl/image_0.png with qwen2_vl/preprocessor_config.json.

smart_resize.json holds rows of height, width, factor, min_pixels, max_pixels and transformers' smart_resize of them, null
where that raises.
"""
import json
import zlib

import numpy as np
import transformers as tf
from PIL import Image


def textured(w, h):
    out, seed = np.empty(w * h * 4, np.uint8), 1
    for i in range(out.size):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = seed >> 24
    return Image.fromarray(np.ascontiguousarray(out.reshape(h, w, 4)[..., :3]))


def run(config, image):
    f = tf.Qwen2VLImageProcessor(**config)(images=[image], return_tensors="pt")
    return dict(grid=f["image_grid_thw"][0].tolist(), crc=zlib.crc32(f["pixel_values"].float().numpy().tobytes()))


half = dict(patch_size=16, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3)
clip = dict(patch_size=14, merge_size=2, temporal_patch_size=2)
wide = dict(shortest_edge=65536, longest_edge=16777216)
rows = []
for config, w, h in [
    (dict(half, size=wide), 301, 407),
    (dict(half, size=wide), 97, 33),
    (dict(half, size=dict(shortest_edge=512 * 1024, longest_edge=2048 * 1024)), 1240, 1754),
    (dict(clip, size=dict(shortest_edge=3136, longest_edge=200704)), 620, 877),
    (dict(half, size=wide, merge_size=3, temporal_patch_size=1), 300, 200),
    (dict(half, size=wide, do_normalize=False), 300, 200),
    (dict(half, size=wide, do_rescale=False, image_mean=[100.0, 110, 120], image_std=[50.0, 60, 70]), 300, 200),
    (dict(half, size=wide, rescale_factor=0.004), 300, 200),
    (dict(half, size=wide, do_resize=False), 320, 192),
]:
    rows.append(dict(run(config, textured(w, h)), config=config, width=w, height=h))
rows.append(run(json.load(open("qwen2_vl/preprocessor_config.json")), Image.open("qwen2_vl/image_0.png")))
json.dump(rows, open("pixel_values.json", "w"), indent=1)
