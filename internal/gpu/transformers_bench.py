#!/usr/bin/env python3
"""Times Hugging Face transformers on the job of examples/bench, with the same fields, a JSON line for each batch size.

    transformers_bench.py --model DIR --size WIDTHxHEIGHT [--batch 1,32] [--new-tokens 128] [--device cuda|cpu]

Prompts are built by hand, so that a checkpoint needs no more than a tokenizer and an image processor.
"""
import argparse, json, time
import torch, transformers as tf
from PIL import Image

p = argparse.ArgumentParser()
p.add_argument("--model", required=True); p.add_argument("--size", required=True); p.add_argument("--batch", default="1")
p.add_argument("--new-tokens", type=int, default=128); p.add_argument("--device", default="cuda"); p.add_argument("--runs", type=int, default=2)
a = p.parse_args()
sync = torch.cuda.synchronize if a.device.startswith("cuda") else (lambda: None)
start = time.time()
model = tf.AutoModelForImageTextToText.from_pretrained(a.model, dtype=torch.bfloat16).to(a.device).eval()
sync()
load = time.time() - start
width, height = map(int, a.size.split("x"))
merge = 2 * 16  # pixels of a visual token in a row and column
gh, gw = 2 * round(height / merge), 2 * round(width / merge)
patches = torch.rand(gh * gw, 3 * 2 * 16 * 16, dtype=torch.bfloat16, device=a.device) * 2 - 1
image, n = model.config.image_token_id, gh * gw // 4
for batch in map(int, a.batch.split(",")):
    ids = torch.tensor([[1] * 4 + [image] * n + [2] * 12] * batch, device=a.device)
    kw = dict(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == image).int(), pixel_values=patches.repeat(batch, 1),
              image_grid_thw=torch.tensor([[1, gh, gw]] * batch, device=a.device), do_sample=False, eos_token_id=None, pad_token_id=0)
    best = {}
    for _ in range(a.runs):
        with torch.no_grad():
            sync(); t = time.time(); model.generate(**kw, max_new_tokens=1, min_new_tokens=1); sync(); one = time.time() - t
            t = time.time(); model.generate(**kw, max_new_tokens=a.new_tokens, min_new_tokens=a.new_tokens); sync(); full = time.time() - t
        step = (full - one) / (a.new_tokens - 1)
        for k, v in dict(prefill_s=one, decode_s_per_step=step, full_s=full).items():
            best[k] = min(best.get(k, v), v)
    print(json.dumps(dict(
        engine=f"transformers {tf.__version__} torch {torch.__version__}", model=a.model, device=a.device, dtype="bfloat16", batch=batch,
        visual_tokens=n, prompt_tokens=ids.shape[1], new_tokens=a.new_tokens, load_s=load, prefill_s=best["prefill_s"],
        decode_s_per_step=best["decode_s_per_step"], decode_tokens_per_s=batch / best["decode_s_per_step"], pages_per_s=batch / best["full_s"],
        device_peak_gb=torch.cuda.max_memory_allocated() / 1e9 if a.device.startswith("cuda") else 0)), flush=True)
