#!/usr/bin/env python3
"""Makes a reference case for qwen.Verify from any Qwen-VL checkpoint: what Hugging Face transformers computes from it.

    pip install torch==2.13.0 torchvision==0.28.0 transformers==5.23.0 safetensors==0.8.0 pillow==13.0.0 jinja2==3.1.6
    python make_case.py --model DIR --image PAGE.png --prompt "qwenvl markdown" --max-new-tokens 32 --out CASE
    go run ./examples/verify -model DIR -cases CASE

--model is a checkpoint folder or a name on the Hugging Face hub. Computed in float32 with eager attention on the CPU, unless
--dtype and --torch-device say otherwise. The case folder gets

    image_N.png           each page, in RGB, as it was given to the image processor
    expected.safetensors  pixel_values [patches, 3*T*P*P], image_grid_thw [images, 3], input_ids [L], position_ids [3, L],
                          vision [visual tokens, hidden], deepstack.N [visual tokens, hidden] (where the model has them),
                          logits [rows, vocabulary] (the last rows of the prompt, all of them unless --logit-rows says fewer),
                          generated [n] (greedy: no penalty, no sampling, whatever generation_config.json says)
    expected.json         the prompt as given, as rendered and with its image tokens; the decoded text; sizes; versions

and holds no weights, so that a case of a large checkpoint stays small: --link puts links to the checkpoint's files beside
them, --copy copies. Images come before the text, in one user's turn, as the library asks; thinking is off where the
chat template has a switch for it. Pages are scaled within the checkpoint's own bounds, or --min-pixels and --max-pixels.
"""
import argparse
import glob
import json
import os
import shutil

import torch
import transformers as tf
from PIL import Image
from safetensors.torch import save_file

CHECKPOINT_FILES = ["*.json", "*.jinja", "*.safetensors", "merges.txt", "vocab.json"]


def load(model, dtype=torch.float32, torch_device="cpu"):
    """The model, its image processor, its tokenizer and its chat template."""
    m = tf.AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, attn_implementation="eager").to(torch_device).eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(model)
    # Older checkpoints keep the template in chat_template.json, which belongs to the processor.
    template = tokenizer.chat_template or tf.AutoProcessor.from_pretrained(model).chat_template
    return m, tf.AutoImageProcessor.from_pretrained(model), tokenizer, template


def render(tokenizer, template, images, prompt, system=""):
    """The prompt as the library asks it: an optional system turn, then one user's turn with the images first."""
    messages = [dict(role="system", content=[dict(type="text", text=system)])] if system else []
    messages.append(dict(role="user", content=[dict(type="image")] * images + [dict(type="text", text=prompt)]))
    return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=True,
                                         enable_thinking=False)


def compute(loaded, images, prompt, system="", max_new_tokens=32, logit_rows=0, min_pixels=0, max_pixels=0):
    """The tensors and the description of a case. The model's device and dtype decide where and in what."""
    model, processor, tokenizer, template = loaded
    dtype, device, config = model.dtype, model.device, model.config
    bounds = {}
    if min_pixels or max_pixels:
        size = dict(processor.size)
        bounds = dict(size=dict(shortest_edge=min_pixels or size["shortest_edge"], longest_edge=max_pixels or size["longest_edge"]))
    feats = processor(images=images, return_tensors="pt", **bounds)
    pixels, grid = feats["pixel_values"].float(), feats["image_grid_thw"]
    rendered = render(tokenizer, template, len(images), prompt, system)
    pad = tokenizer.convert_ids_to_tokens(config.image_token_id)
    parts = rendered.split(pad)
    if len(parts) != len(images) + 1:
        raise SystemExit(f"the chat template has {len(parts) - 1} places for {len(images)} images")
    merge = processor.merge_size
    expanded = parts[0] + "".join(pad * (int(g.prod()) // merge**2) + rest for g, rest in zip(grid, parts[1:]))
    ids = torch.tensor([tokenizer(expanded, add_special_tokens=False)["input_ids"]])
    kinds = (ids == config.image_token_id).int()  # 1 where an image's token stands: positions depend on it
    expected = dict(pixel_values=pixels, image_grid_thw=grid.int(), input_ids=ids[0].int())
    inputs = dict(input_ids=ids.to(device), mm_token_type_ids=kinds.to(device), image_grid_thw=grid.to(device))
    eos = model.generation_config.eos_token_id
    eos = config.get_text_config().eos_token_id if eos is None else eos
    # A new configuration, because generate would fill whatever is not set from the checkpoint's, penalties included.
    model.generation_config = tf.GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=eos,
                                                  pad_token_id=eos[0] if isinstance(eos, list) else eos)
    with torch.no_grad():
        positions, _ = model.model.get_rope_index(**inputs)
        expected["position_ids"] = positions[:, 0].int()
        seen = model.model.visual(pixels.to(device, dtype), grid_thw=inputs["image_grid_thw"])
        expected["vision"] = seen.pooler_output.float()
        for i, rows in enumerate(getattr(seen, "deepstack_features", None) or []):
            expected[f"deepstack.{i}"] = rows.float()
        inputs["pixel_values"] = pixels.to(device, dtype)
        expected["logits"] = model(**inputs, logits_to_keep=logit_rows).logits[0].float()
        written = model.generate(**inputs, attention_mask=torch.ones_like(inputs["input_ids"]), return_dict_in_generate=True,
                                 output_logits=True)
        expected["generated"] = written.sequences[0, ids.shape[1]:].int()
        best = [step[0].float().topk(2).values for step in written.logits]
    description = dict(
        user_prompt=prompt, system_prompt=system, prompt=rendered, prompt_expanded=expanded,
        text=tokenizer.decode(expected["generated"].tolist(), skip_special_tokens=True), max_new_tokens=max_new_tokens,
        least_margin=min(float(b[0] - b[1]) for b in best),  # how close the closest choice of a generated token was
        min_pixels=min_pixels, max_pixels=max_pixels, images=[list(im.size) for im in images], dtype=str(dtype).removeprefix("torch."),
        torch=torch.__version__, transformers=tf.__version__)
    return {k: v.cpu().contiguous() for k, v in expected.items()}, description


def write(out, images, expected, description):
    os.makedirs(out, exist_ok=True)
    for old in glob.glob(os.path.join(out, "image_*.png")):
        os.remove(old)
    for i, im in enumerate(images):
        im.save(os.path.join(out, f"image_{i:0{len(str(len(images) - 1))}d}.png"), optimize=True)
    save_file(expected, os.path.join(out, "expected.safetensors"))
    with open(os.path.join(out, "expected.json"), "w") as f:
        json.dump(description, f, indent=1)
        f.write("\n")


def bring(model, out, link):
    """Puts the checkpoint's files into the case folder, so that it is a checkpoint too."""
    if not os.path.isdir(model):
        import huggingface_hub
        model = huggingface_hub.snapshot_download(model, allow_patterns=CHECKPOINT_FILES)
    for path in sorted(p for pattern in CHECKPOINT_FILES for p in glob.glob(os.path.join(model, pattern))):
        target = os.path.join(out, os.path.basename(path))
        if os.path.basename(path) in ("expected.json", "expected.safetensors") or os.path.realpath(path) == os.path.realpath(target):
            continue
        if os.path.lexists(target):
            os.remove(target)
        if link:
            os.symlink(os.path.realpath(path), target)
        else:
            shutil.copyfile(path, target)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", required=True, help="checkpoint folder or hub id")
    a.add_argument("--image", required=True, action="append", help="page image; once for each")
    a.add_argument("--prompt", required=True, help="the user's text, after the images")
    a.add_argument("--system", default="", help="text of a system turn; none unless given")
    a.add_argument("--max-new-tokens", type=int, default=32)
    a.add_argument("--logit-rows", type=int, default=0, help="keep only the logits of the last N tokens of the prompt "
                   "(0 keeps all: with a vocabulary of 151,936, that is 0.6 MB a token)")
    a.add_argument("--min-pixels", type=int, default=0, help="0: the checkpoint's bound")
    a.add_argument("--max-pixels", type=int, default=0, help="0: the checkpoint's bound")
    a.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    a.add_argument("--torch-device", default="cpu")
    a.add_argument("--out", required=True, help="case folder")
    how = a.add_mutually_exclusive_group()
    how.add_argument("--link", action="store_true", help="link the checkpoint's files into the case folder")
    how.add_argument("--copy", action="store_true", help="copy the checkpoint's files into the case folder")
    a = a.parse_args()
    images = [Image.open(path).convert("RGB") for path in a.image]
    loaded = load(a.model, getattr(torch, a.dtype), a.torch_device)
    expected, description = compute(loaded, images, a.prompt, a.system, a.max_new_tokens, a.logit_rows, a.min_pixels, a.max_pixels)
    write(a.out, images, expected, dict(description, model=os.path.basename(os.path.normpath(a.model)) if os.path.isdir(a.model) else a.model))
    if a.link or a.copy:
        bring(a.model, a.out, a.link)
    print(f"{a.out}: {len(expected['input_ids'])} tokens, {len(expected['vision'])} of them visual, grids "
          f"{expected['image_grid_thw'].tolist()}, text {description['text']!r}")


if __name__ == "__main__":
    main()
