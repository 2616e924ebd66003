#!/usr/bin/env python3
"""Writes small random checkpoints of the Qwen-VL family, each with a reference case that make_case.py computes from it.

    pip install torch==2.13.0 torchvision==0.28.0 transformers==5.23.0 safetensors==0.8.0 pillow==13.0.0 jinja2==3.1.6
    python make_checkpoints.py --out DIR [--case NAME ...]
    OMNIDOCS_GOLDEN=DIR go test ./qwen -run TestGolden -count=1 -v

Weights are stored in bfloat16 and computed with in float32. Tokenizer and chat template are those of golden/qwen3_vl.
A case whose greedy text loops or has a special token would hide errors of later positions, and one with a close choice of a
token would fail without an error: it is made anew with another seed.
"""
import argparse
import json
import os
import shutil

import numpy as np
import torch
import transformers as tf
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

import make_case

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden", "qwen3_vl")
END = 507  # <|im_end|>; all special tokens are above 504
IDS = dict(image_token_id=510, video_token_id=511, vision_start_token_id=508, vision_end_token_id=509)
TEXT = dict(vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=2048, rms_norm_eps=1e-6, pad_token_id=505, eos_token_id=END)
ROPE2 = dict(rope_type="default", rope_theta=10000.0, mrope_section=[2, 3, 3])
ROPE3 = dict(rope_type="default", rope_theta=10000.0, mrope_section=[4, 2, 2], mrope_interleaved=True)
ROPE35 = dict(ROPE3, mrope_section=[2, 1, 1], partial_rotary_factor=0.25)
VISION2 = dict(depth=3, embed_dim=32, hidden_size=64, num_heads=2, mlp_ratio=2, patch_size=14)
VISION25 = dict(depth=4, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=64, fullatt_block_indexes=[1, 3])
VISION3 = dict(depth=4, hidden_size=32, intermediate_size=48, num_heads=2, patch_size=16, out_hidden_size=32,
               num_position_embeddings=64)
LINEAR = dict(linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4)
MOE3 = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24)
LONG = ("Read the page from the top to the bottom, line by line and column by column; write its text as Markdown, its tables as "
        "HTML and its formulas as LaTeX, and leave out what stands in the margins.")


def qwen2_vl():
    return tf.Qwen2VLConfig(text_config=dict(TEXT, hidden_size=64, rope_parameters=ROPE2), vision_config=VISION2,
                            tie_word_embeddings=False, **IDS)


def qwen2_5_vl(patch):
    return tf.Qwen2_5_VLConfig(text_config=dict(TEXT, hidden_size=64, rope_parameters=ROPE2), tie_word_embeddings=False,
                               vision_config=dict(VISION25, patch_size=patch, window_size=8 * patch), **IDS)


def qwen3_vl_moe(**text):
    return tf.Qwen3VLMoeConfig(text_config=dict(TEXT, head_dim=16, rope_parameters=ROPE3, **MOE3, **text), tie_word_embeddings=False,
                               vision_config=dict(VISION3, deepstack_visual_indexes=[1, 2]), **IDS)


def qwen3_5(patch=16, tied=False):
    return tf.Qwen3_5Config(text_config=dict(TEXT, num_hidden_layers=4, head_dim=32, rope_parameters=ROPE35, tie_word_embeddings=tied,
                                             **LINEAR),
                            vision_config=dict(VISION3, patch_size=patch), tie_word_embeddings=tied, **IDS)


def qwen3_5_moe():
    text = {k: v for k, v in TEXT.items() if k != "intermediate_size"}
    return tf.Qwen3_5MoeConfig(text_config=dict(text, num_hidden_layers=4, head_dim=32, rope_parameters=ROPE35,
                                                shared_expert_intermediate_size=40, **MOE3, **LINEAR),
                               vision_config=VISION3, tie_word_embeddings=False, **IDS)


PAGE, PAGES = [(150, 90)], [(150, 90), (70, 200)]
# name: configuration, pages (width, height), prompt. Patches of 4 pixels keep the cases with many of them small.
CASES = {
    "qwen2_vl_two": (qwen2_vl(), PAGES, "qwenvl markdown"),
    # 10 by 7 merged patches, where a window has 4 by 4.
    "qwen2_5_vl_ragged": (qwen2_5_vl(4), [(56, 80)], "qwenvl markdown"),
    # 8 by 4 merged patches, which windows divide, and 5 by 6, which they do not.
    "qwen2_5_vl_two": (qwen2_5_vl(4), [(32, 64), (48, 40)], "qwenvl markdown"),
    "qwen3_vl_moe": (qwen3_vl_moe(mlp_only_layers=[1]), PAGE, "qwenvl markdown"),
    # Only the second of three layers has experts.
    "qwen3_vl_moe_step": (qwen3_vl_moe(decoder_sparse_step=2), PAGE, "qwenvl markdown"),
    "qwen3_5_tied": (qwen3_5(tied=True), PAGE, "qwenvl markdown"),
    # More than two chunks of 64 tokens, the last of them partly filled.
    "qwen3_5_long": (qwen3_5(patch=4), [(72, 80)], LONG),
    "qwen3_5_moe": (qwen3_5_moe(), PAGE, "qwenvl markdown"),
}


def transposed(tensors):
    """The fused experts of Qwen3-VL-MoE's checkpoints on the hub: [experts, in, out], where transformers 5 saves [experts, out, in]."""
    return {k: v.transpose(1, 2).contiguous() if ".mlp.experts." in k else v for k, v in tensors.items()}


def single(tensors):
    """Each expert's matrices on their own, as linear layers."""
    out = {}
    for k, v in tensors.items():
        if k.endswith(".experts.gate_up_proj") or k.endswith(".experts.down_proj"):
            stem, name = k.rsplit(".", 1)
            for e, matrix in enumerate(v):
                parts = zip(("gate_proj", "up_proj"), matrix.chunk(2)) if name == "gate_up_proj" else [(name, matrix)]
                out.update({f"{stem}.{e}.{n}.weight": m.contiguous() for n, m in parts})
        else:
            out[k] = v
    return out


def fused(tensors):
    """The inverse of single: [experts, out, in]."""
    out, experts = {}, {}
    for k, v in tensors.items():
        stem, found, rest = k.partition(".mlp.experts.")
        if not found or not rest[0].isdigit():
            out[k] = v
            continue
        e, name, _ = rest.split(".")
        experts.setdefault(stem + found, {}).setdefault(name, {})[int(e)] = v
    for stem, by_name in experts.items():
        m = {name: torch.stack([by_expert[e] for e in range(len(by_expert))]) for name, by_expert in by_name.items()}
        out[stem + "gate_up_proj"] = torch.cat([m["gate_proj"], m["up_proj"]], 1)
        out[stem + "down_proj"] = m["down_proj"]
    return out


def hub_config(config):
    """The keys of older files: num_experts, norm_topk_prob, rope_theta and rope_scaling."""
    text = config["text_config"]
    text["num_experts"] = text.pop("num_local_experts", text.get("num_experts"))
    text["norm_topk_prob"] = True
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope.pop("rope_theta")
    text["rope_scaling"] = rope
    return config


def published(tensors):
    """As Qwen3.5's checkpoints on the hub are: with a layer that predicts a second token, which nothing here uses, and with
    some of DeltaNet's tensors in float32."""
    layer = "model.language_model.layers.3."
    out = {k: v.float() if k.endswith((".A_log", ".linear_attn.norm.weight")) else v for k, v in tensors.items()}
    out.update({"mtp.layers.0." + k.removeprefix(layer): v.clone() for k, v in tensors.items() if k.startswith(layer)})
    norm = tensors[layer + "input_layernorm.weight"]
    out.update({f"mtp.{n}.weight": norm.clone() for n in ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden")})
    out["mtp.fc.weight"] = torch.zeros(len(norm), 2 * len(norm), dtype=norm.dtype)
    return out


# name: the case it is the same model as, what becomes of the tensors, what becomes of config.json
FORMS = {
    "qwen3_vl_moe_transposed": ("qwen3_vl_moe", transposed, hub_config),
    "qwen3_vl_moe_single": ("qwen3_vl_moe", single, None),
    "qwen3_5_tied_published": ("qwen3_5_tied", published, None),
    "qwen3_5_moe_fused": ("qwen3_5_moe", fused, None),
}


def page(rng, w, h):
    """A page of random dark strokes on a light ground, in color, so that channels and resizing both matter."""
    im = Image.new("RGB", (w, h), tuple(int(x) for x in rng.integers(220, 256, 3)))
    d = ImageDraw.Draw(im)
    for _ in range(max(w * h // 400, 24)):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        d.line([x, y, x + int(rng.integers(-14, 15)), y + int(rng.integers(-14, 15))],
               fill=tuple(int(v) for v in rng.integers(0, 160, 3)), width=int(rng.integers(1, 4)))
    return im


def randomize(model, gen):
    """Weights that keep numbers at unit scale. Norms are about the identity, whether they multiply by w or by 1 + w. DeltaNet's
    memory lasts from one token to hundreds, as in trained models, so that a state lost between chunks shows."""
    with torch.no_grad():
        for n, p in sorted(model.named_parameters()):
            r = torch.randn(p.shape, generator=gen)
            if n.endswith("A_log"):
                p.copy_(torch.linspace(-6, 0, p.numel()) + r * .1)
            elif p.dim() == 1:
                zero = model.config.model_type.startswith("qwen3_5") and "language_model" in n and "linear_attn" not in n
                p.copy_(r * .1 + (1. if "norm" in n and n.endswith("weight") and not zero else 0.))
            elif "embed" in n or "lm_head" in n:
                p.copy_(r * .5)
            elif ".experts." in n:  # [experts, out, in]: unit scale for each expert, or the sum of them hides behind the rest
                p.copy_(r * (1.5 / np.sqrt(p.shape[-1])))
            else:
                p.copy_(r * (1.5 / np.sqrt(np.prod(p.shape[1:]))))


def save(out, config, seed):
    """Writes a random checkpoint into a folder."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    model = tf.AutoModelForImageTextToText.from_config(config, attn_implementation="eager").float().eval()
    randomize(model, torch.Generator().manual_seed(seed))
    model.bfloat16().save_pretrained(out)
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_file=os.path.join(GOLDEN, "tokenizer.json"), eos_token="<|im_end|>",
                                           pad_token="<|endoftext|>", model_max_length=2048)
    with open(os.path.join(GOLDEN, "chat_template.jinja")) as f:
        tokenizer.chat_template = f.read()
    tokenizer.save_pretrained(out)
    patch = config.vision_config.patch_size
    kw = dict(patch_size=patch, merge_size=2, temporal_patch_size=2,
              size=dict(shortest_edge=(2 * patch) ** 2 * 4, longest_edge=(2 * patch) ** 2 * 100))
    if config.model_type.startswith("qwen3"):
        kw.update(image_mean=[.5] * 3, image_std=[.5] * 3)
    tf.Qwen2VLImageProcessor(**kw).save_pretrained(out)


def good(expected, description):
    tokens = expected["generated"].tolist()
    return len(set(tokens)) >= 12 and max(tokens) < 505 and description["least_margin"] > .02


def make(name, out, seed):
    config, sizes, prompt = CASES[name]
    while True:
        save(out, config, seed)
        rng = np.random.default_rng(seed)
        images = [page(rng, w, h) for w, h in sizes]
        expected, description = make_case.compute(make_case.load(out), images, prompt, max_new_tokens=24)
        if good(expected, description):
            break
        seed += 1000
    make_case.write(out, images, expected, dict(description, seed=seed))
    print(f"{name}: {len(expected['input_ids'])} tokens, grids {expected['image_grid_thw'].tolist()}, logit std "
          f"{expected['logits'].std():.2f}, least margin {description['least_margin']:.3f}, seed {seed}")


def rewrite(name, out, base):
    """Writes the checkpoint and the case of base with its tensors in another layout."""
    _, tensors, config = FORMS[name]
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(base, out)
    path = os.path.join(out, "model.safetensors")
    save_file(tensors(fused(load_file(path))), path, metadata={"format": "pt"})
    if config:
        with open(os.path.join(out, "config.json")) as f:
            keys = config(json.load(f))
        with open(os.path.join(out, "config.json"), "w") as f:
            json.dump(keys, f, indent=2)
    print(f"{name}: the model of {os.path.basename(base)}")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", required=True, help="folder that gets a folder for each case")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--case", nargs="*", help="names; all unless given")
    a = a.parse_args()
    for name in CASES:
        if not a.case or name in a.case or any(FORMS[form][0] == name for form in a.case if form in FORMS):
            make(name, os.path.join(a.out, name), a.seed)
    for name, (base, _, _) in FORMS.items():
        if not a.case or name in a.case:
            rewrite(name, os.path.join(a.out, name), os.path.join(a.out, base))


if __name__ == "__main__":
    main()
