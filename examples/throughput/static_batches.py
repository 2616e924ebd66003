#!/usr/bin/env python3
"""The mix of examples/throughput with Hugging Face transformers, in static batches of one size in the order of arrival.

    pip install torch==2.13.0 'transformers>=5.23' pillow
    python static_batches.py --model DIR --image PAGE.png [--pages 16] [--batch 4] [--dtype bfloat16]

A batch is as slow as its longest answer; shorter ones are cut off. That is how a plain loop over generate() reads pages.
"""
import argparse, json, time
import torch, transformers as tf
from PIL import Image

p = argparse.ArgumentParser()
p.add_argument("--model", required=True); p.add_argument("--image", required=True); p.add_argument("--pages", type=int, default=16)
p.add_argument("--batch", type=int, default=4); p.add_argument("--dtype", default="bfloat16"); p.add_argument("--device", default="cpu")
a = p.parse_args()
SIZES = [(8, 16), (12, 16), (16, 22), (20, 24), (24, 28), (16, 20), (22, 30), (14, 18)]
ANSWERS = [16, 48, 96, 160, 256, 32, 128, 64]
model = tf.AutoModelForImageTextToText.from_pretrained(a.model, dtype=getattr(torch, a.dtype)).to(a.device).eval()
ip = tf.AutoImageProcessor.from_pretrained(a.model); tok = tf.AutoTokenizer.from_pretrained(a.model, padding_side="left")
text = tok.apply_chat_template([dict(role="user", content=[dict(type="image"), dict(type="text", text="qwenvl markdown")])], tokenize=False, add_generation_prompt=True)
page = Image.open(a.image).convert("RGB")


def read(first, last):
    images = [page.resize((SIZES[i % 8][0] * 32, SIZES[i % 8][1] * 32)) for i in range(first, last)]
    answers = [ANSWERS[(i + i // 8 * 3) % 8] for i in range(first, last)]
    f = ip(images=images, return_tensors="pt")
    texts = [text.replace("<|image_pad|>", "<|image_pad|>" * (int(g.prod()) // 4)) for g in f["image_grid_thw"]]
    t = tok(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    ids = t["input_ids"].to(a.device)
    with torch.no_grad():
        model.generate(input_ids=ids, attention_mask=t["attention_mask"].to(a.device), mm_token_type_ids=(ids == model.config.image_token_id).int(),
                       pixel_values=f["pixel_values"].to(a.device, model.dtype), image_grid_thw=f["image_grid_thw"].to(a.device),
                       do_sample=False, eos_token_id=None, pad_token_id=151643, max_new_tokens=max(answers), min_new_tokens=max(answers))
    return sum(answers)


read(0, min(2, a.pages))
start, tokens = time.time(), 0
for i in range(0, a.pages, a.batch):
    tokens += read(i, min(i + a.batch, a.pages))
s = time.time() - start
print(json.dumps(dict(engine=f"transformers {tf.__version__}", device=a.device, dtype=a.dtype, pages=a.pages, batch=a.batch, tokens=tokens,
                      seconds=s, pages_per_s=a.pages / s, tokens_per_s=tokens / s)))
