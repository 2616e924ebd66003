"""Writes the averaged weights of work/best.pt as a Hugging Face folder (bfloat16) and checks transformers' logits against
this folder's own forward pass: python export.py --ck work/best.pt --out ../checkpoint"""
import argparse
import json
import os
import random
import shutil

import torch
from safetensors.torch import save_file

from data import MARKDOWN, Kind, page
from model import TEXT, VISION, Tiny, to_hf
from prompt import CHECKPOINT, EOT, IE, IP, PRE, VE, VP, VS, after, encode
from text import Corpus


def config():
    dtype = "bfloat16"
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "dtype": dtype,
        "image_token_id": IP,
        "video_token_id": VP,
        "vision_start_token_id": VS,
        "vision_end_token_id": VE,
        "tie_word_embeddings": True,
        "transformers_version": "5.23.0",
        "text_config": {
            "model_type": "qwen3_vl_text",
            **TEXT,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"mrope_interleaved": True, "mrope_section": [6, 5, 5], "rope_theta": 10000.0, "rope_type": "default"},
            "tie_word_embeddings": True,
            "use_cache": True,
            "bos_token_id": EOT,
            "eos_token_id": IE,
            "pad_token_id": EOT,
            "dtype": dtype,
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision",
            **VISION,
            "deepstack_visual_indexes": [1],
            "hidden_act": "gelu_pytorch_tanh",
            "in_channels": 3,
            "initializer_range": 0.02,
            "out_hidden_size": TEXT["hidden_size"],
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "axial"},
            "dtype": dtype,
        },
    }


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--ck", required=True)
    a.add_argument("--out", required=True)
    o = a.parse_args()
    state = {k: v.to(torch.bfloat16) for k, v in torch.load(o.ck, weights_only=False)["ema"].items()}
    os.makedirs(o.out, exist_ok=True)
    save_file({k: v.clone().contiguous() for k, v in to_hf(state).items()}, os.path.join(o.out, "model.safetensors"), metadata={"format": "pt"})
    json.dump(config(), open(os.path.join(o.out, "config.json"), "w"), indent=2)
    # 24 to 30 px are read as they are: a page is neither enlarged nor made smaller up to 512x512 px.
    pre = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "Qwen2VLImageProcessor",
        "merge_size": 2,
        "patch_size": 16,
        "temporal_patch_size": 2,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 512 * 512, "shortest_edge": 32 * 32},
    }
    json.dump(pre, open(os.path.join(o.out, "preprocessor_config.json"), "w"), indent=2)
    for f in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if os.path.abspath(o.out) != os.path.abspath(CHECKPOINT):
            shutil.copy(os.path.join(CHECKPOINT, f), o.out)
    check(o.out, state)


@torch.no_grad()
def check(out, state):
    """One page through both implementations, in float32 from the bfloat16 weights."""
    from transformers import AutoImageProcessor, Qwen3VLForConditionalGeneration
    from PIL import Image

    own = Tiny()
    own.load_state_dict({k: v.float() for k, v in state.items()})
    # The exported planes are rounded one by one: six times the rounded sixth, not the rounded weight.
    own.visual["patch"].weight.copy_((state["visual.patch.weight"] / 6).float() * 6)
    hf = Qwen3VLForConditionalGeneration.from_pretrained(out, dtype=torch.float32).eval()
    p, mid = page(random.Random(3), Corpus(True), 448, 256, Kind()), after(MARKDOWN)
    q = AutoImageProcessor.from_pretrained(out)(images=[Image.fromarray(p.image.astype("uint8")).convert("RGB")], return_tensors="pt")
    ids = torch.tensor([PRE + [IP] * (int(q["image_grid_thw"].prod()) // 4) + mid + encode(p.text)])
    ref = hf(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == IP).int(), **q).logits[0]
    caches = [{} for _ in own.language_model["layers"]]
    im, first = torch.from_numpy(p.image)[None], len(PRE)
    vis, deep = own.see(im)
    emb = own.language_model["embed_tokens"]
    x = torch.cat([emb(torch.tensor([PRE])), vis, emb(torch.tensor([mid + encode(p.text)]))], 1)
    cos, sin = own.tables(256, 448, first, x.shape[1])[4:]
    for i, l in enumerate(own.language_model["layers"]):
        x, _ = l(x, cos, sin, cache=caches[i])
        if i == 0:
            x[:, first : first + vis.shape[1]] += deep
    got = (own.language_model["norm"](x) @ emb.weight.T)[0]
    diff = (got - ref).abs().max().item()
    print(f"largest difference of {ref.numel()} logits to transformers: {diff:.2e} (largest logit {ref.abs().max():.1f})")
    if diff > 2e-2:
        raise SystemExit("the exported folder does not compute what was trained")


if __name__ == "__main__":
    main()
