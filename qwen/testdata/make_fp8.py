#!/usr/bin/env python3
"""Writes small random checkpoints with FP8 weights, each with a reference case that make_case.py computes from the dequantized ones.

    pip install torch==2.13.0 torchvision==0.28.0 transformers==5.23.0 safetensors==0.8.0 pillow==13.0.0 jinja2==3.1.6 \
        compressed-tensors==0.20.0
    python make_fp8.py --out golden

make_case.py and make_checkpoints.py stand beside it. Linear layers are quantized, but for some that the configuration names as
not converted. The sides of the matrices are no multiples of a block's, so that the last blocks are ragged.

    qwen3_vl_fp8  as Qwen publishes them: quant_method "fp8", blocks of 128 by 128 (DeepSeek-V3's format). transformers 5.23 writes
                  and dequantizes whole blocks only, so the blocks are made here; the reference is its _dequantize_fp8_weight,
                  which knows ragged ones.
    qwen3_vl_ct   as llm-compressor publishes them: quant_method "compressed-tensors", format "float-quantized", with a scale for
                  each row in the text tower (FP8_DYNAMIC) and one for each matrix, and static scales of activations, in the
                  vision tower (FP8). Written and read by the package compressed-tensors.
"""
import argparse
import json
import os
import shutil
import tempfile

import numpy as np
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight

import make_case
import make_checkpoints as checkpoints

MAX = torch.finfo(torch.float8_e4m3fn).max
PATCH = 8


def config(hidden):
    text = dict(checkpoints.TEXT, hidden_size=hidden, intermediate_size=144, num_hidden_layers=2, head_dim=16,
                rope_parameters=checkpoints.ROPE3, tie_word_embeddings=True)
    vision = dict(depth=2, hidden_size=48, intermediate_size=144, num_heads=2, patch_size=PATCH, out_hidden_size=hidden,
                  num_position_embeddings=64, deepstack_visual_indexes=[0])
    return tf.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **checkpoints.IDS)


def linears(config):
    """The names of the linear layers of the model."""
    with torch.device("meta"):
        model = tf.AutoModelForImageTextToText.from_config(config)
    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]


def quantize_blocks(w, block=128):
    """FP8 numbers and a float32 scale for each block, as in DeepSeek-V3's inference/kernel.py."""
    rows, cols = w.shape
    padded = torch.zeros(-(-rows // block) * block, -(-cols // block) * block)
    padded[:rows, :cols] = w.float()
    tiles = padded.unflatten(0, (-1, block)).unflatten(2, (-1, block))
    scale = tiles.abs().amax((1, 3)) / MAX
    numbers = (tiles / scale[:, None, :, None]).clamp(-MAX, MAX).to(torch.float8_e4m3fn)
    return numbers.flatten(2).flatten(0, 1)[:rows, :cols].contiguous(), scale


def as_fp8(tensors, names):
    """The stored tensors, their float32 values, and quantization_config."""
    skipped = [n for n in names if n.startswith("model.visual.blocks.0.")]
    stored, values = dict(tensors), {k: v.float() for k, v in tensors.items()}
    for n in set(names) - set(skipped):
        numbers, scale = quantize_blocks(tensors[n + ".weight"])
        stored[n + ".weight"], stored[n + ".weight_scale_inv"] = numbers, scale
        values[n + ".weight"] = _dequantize_fp8_weight(numbers, scale, [128, 128], torch.float32)
    return stored, values, dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[128, 128],
                                modules_to_not_convert=["lm_head"] + skipped)


def as_compressed_tensors(tensors, names):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    def args(**kw):
        return QuantizationArgs(num_bits=8, type="float", symmetric=True, **kw)

    schemes = {
        "group_0": QuantizationScheme(targets=[r"re:.*language_model.*_proj$"], weights=args(strategy="channel"),
                                      input_activations=args(strategy="token", dynamic=True), format="float-quantized"),
        "group_1": QuantizationScheme(targets=[r"re:.*visual.*(attn\.qkv|attn\.proj|linear_fc\d)$"], weights=args(strategy="tensor"),
                                      input_activations=args(strategy="tensor"), format="float-quantized"),
    }
    skipped = [n for n in names if n.startswith("model.visual.merger.")]
    compressor = BaseCompressor.get_value_from_registry("float-quantized")
    stored, values = dict(tensors), {k: v.float() for k, v in tensors.items()}
    for n in set(names) - set(skipped):
        scheme = schemes["group_1" if ".visual." in n else "group_0"]
        w = tensors[n + ".weight"]
        dims = (1,) if scheme.weights.strategy == "channel" else (0, 1)
        scale, _ = calculate_qparams(w.amin(dims, keepdim=True), w.amax(dims, keepdim=True), scheme.weights)
        if scheme.weights.strategy == "tensor":
            scale = scale.reshape(1)
        packed = compressor.compress({"weight": w, "weight_scale": scale}, scheme)
        stored.update({f"{n}.{k}": v.contiguous() for k, v in packed.items()})
        # The product is rounded to the type of the scales, bfloat16, as transformers has it of dense layers.
        values[n + ".weight"] = compressor.decompress(packed, scheme)["weight"].float()
        if not scheme.input_activations.dynamic:
            stored[n + ".input_scale"] = torch.tensor([0.01], dtype=torch.bfloat16)
    quantization = QuantizationConfig(config_groups=schemes, format="float-quantized", quantization_status="compressed",
                                      ignore=["lm_head"] + skipped)
    return stored, values, json.loads(quantization.model_dump_json())


CASES = {"qwen3_vl_fp8": (config(160), as_fp8), "qwen3_vl_ct": (config(32), as_compressed_tensors)}


def make(name, out, seed):
    conf, quantize = CASES[name]
    while True:
        with tempfile.TemporaryDirectory() as plain:
            checkpoints.save(plain, conf, seed)
            path = os.path.join(plain, "model.safetensors")
            stored, values, quantization = quantize(load_file(path), linears(conf))
            save_file(values, path, metadata={"format": "pt"})
            image = checkpoints.page(np.random.default_rng(seed), 60, 50)
            expected, description = make_case.compute(make_case.load(plain), [image], "qwenvl markdown", max_new_tokens=16)
            if checkpoints.good(expected, description):
                shutil.rmtree(out, ignore_errors=True)
                shutil.copytree(plain, out)
                break
        seed += 1000
    save_file(stored, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    path = os.path.join(out, "config.json")
    with open(path) as f:
        keys = json.load(f)
    keys["quantization_config"] = quantization
    with open(path, "w") as f:
        json.dump(keys, f, indent=2)
        f.write("\n")
    make_case.write(out, [image], expected, dict(description, seed=seed))
    print(f"{name}: {len(expected['input_ids'])} tokens, logit std {expected['logits'].std():.2f}, least margin "
          f"{description['least_margin']:.3f}, seed {seed}, text {description['text']!r}")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", required=True, help="folder that gets a folder for each case")
    a.add_argument("--seed", type=int, default=1)
    a = a.parse_args()
    for name in CASES:
        make(name, os.path.join(a.out, name), a.seed)


if __name__ == "__main__":
    main()
