#!/usr/bin/env python3
"""Writes the cases of this folder's *.json, *.jpg, *.webp, *.tif and orient*.png with Pillow, torch 2.13,
torchvision 0.28 and transformers 5.23. Run it in this folder.

    resize_crc.json   rows of height, width, target height, target width, CRC-32 of torchvision's bicubic resize of a
                      uint8 RGB picture of noise (an LCG, the same as in bench_test.go)
    pillow_crc.json   rows of height, width, target height, target width, filter (0 bicubic, 1 Lanczos), CRC-32 of Pillow
                      11.3's resize of such a picture (13 filters along the columns first where that is cheaper)
    alpha_crc.json    CRC-32 of transformers' convert_to_rgb of the 256 x 256 RGBA picture with R = x, G = 255 - x,
                      B = 7 x mod 256 and A = y
    orient_*          a 4 x 3 picture in each EXIF orientation and format; orient.json has the size and the RGB bytes of
                      ImageOps.exif_transpose
    yuv_*             a piece of a page, of odd size, as JPEG (quality 85, by subsampling) and lossy WebP, each with
                      what Pillow decodes it to in a .png of the same name (transparency laid over white)
"""
import json
import zlib

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as F
from transformers.image_transforms import convert_to_rgb


def noise(n):
    out, seed = np.empty(n, np.uint8), 1
    for i in range(n):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = seed >> 24
    return out


sizes = [(3, 3, 1, 2), (1, 200, 32, 3520), (1200, 40, 32, 32), (7, 5, 640, 448), (300, 300, 300, 280), (300, 300, 280, 300),
         (64, 64, 128, 128), (128, 128, 64, 64), (33, 1, 64, 32), (400, 20, 2, 178), (1500, 2, 5, 1), (700, 900, 350, 300),
         (877, 620, 896, 608), (1169, 827, 848, 608)]
rng = np.random.default_rng(7)
sizes += [tuple(int(v) for v in np.exp(rng.uniform(0.7, 5.3, 4))) for _ in range(60)]
rows = []
for h, w, th, tw in sizes:
    t = torch.from_numpy(noise(h * w * 3).reshape(h, w, 3)).permute(2, 0, 1).contiguous()
    try:
        o = F.resize(t, [th, tw], interpolation=F.InterpolationMode.BICUBIC, antialias=True)
    except RuntimeError:  # torch 2.13 asserts on some results of one pixel
        continue
    rows.append([h, w, th, tw, zlib.crc32(o.permute(1, 2, 0).contiguous().numpy().tobytes())])
json.dump(rows, open("resize_crc.json", "w"))

rows = []
for h, w, th, tw in sizes[:44]:
    for number, filter in enumerate([Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]):
        o = Image.fromarray(noise(h * w * 3).reshape(h, w, 3)).resize((tw, th), filter)
        rows.append([h, w, th, tw, number, zlib.crc32(o.tobytes())])
json.dump(rows, open("pillow_crc.json", "w"))

x, y = np.meshgrid(np.arange(256), np.arange(256))
rgba = np.stack([x, 255 - x, 7 * x % 256, y], -1).astype(np.uint8)
json.dump(zlib.crc32(convert_to_rgb(Image.fromarray(rgba), return_numpy=True).tobytes()), open("alpha_crc.json", "w"))

small = Image.fromarray((np.arange(36).reshape(3, 4, 3) * 7).astype(np.uint8))
flat = Image.fromarray(np.repeat(np.repeat((np.arange(12).reshape(3, 4) * 20 + 10).astype(np.uint8), 16, 0), 16, 1)).convert("RGB")
want = {}
for o in range(1, 9):
    exif = Image.Exif()
    exif[0x112] = o
    files = {f"orient_{o}.png": (small, {}), f"orient_{o}.jpg": (flat, dict(quality=95, subsampling=0))}
    if o in (3, 6):
        files[f"orient_{o}.webp"] = (small, dict(lossless=True))
        files[f"orient_{o}.tif"] = (small, {})
    for name, (im, kw) in files.items():
        im.save(name, exif=exif, **kw)
        up = ImageOps.exif_transpose(Image.open(name)).convert("RGB")
        want[name] = [up.width, up.height, zlib.crc32(up.tobytes()), list(up.tobytes()[:9])]
json.dump(want, open("orient.json", "w"))

piece = Image.open("resize_1_in.png").convert("RGB").crop((0, 0, 131, 75))
clear = piece.copy()
clear.putalpha(Image.linear_gradient("L").resize(piece.size))
for name, im, kw in [("444.jpg", piece, dict(quality=85, subsampling=0)), ("422.jpg", piece, dict(quality=85, subsampling=1)),
                     ("420.jpg", piece, dict(quality=85, subsampling=2)), ("narrow.jpg", piece.crop((20, 10, 23, 30)), dict(quality=85)),
                     ("progressive.jpg", piece, dict(quality=85, progressive=True)), ("gray.jpg", piece.convert("L"), dict(quality=85)),
                     ("lossy.webp", piece, dict(quality=85)), ("alpha.webp", clear, dict(quality=85)),
                     ("narrow.webp", piece.crop((20, 10, 21, 30)), dict(quality=85))]:
    im.save("yuv_" + name, **kw)
    Image.fromarray(convert_to_rgb(Image.open("yuv_" + name), return_numpy=True)).save(f"yuv_{name}.png", optimize=True)
