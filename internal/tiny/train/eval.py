"""Character error rate on held-out pages, greedy reading.

    python eval.py --ck work/ck.pt --pages DIR          # pages drawn by Go (see pages/main.go): one row a class
    python eval.py --ck work/ck.pt --drawn 20           # pages drawn by data.py, 512x384, text of held-out documents
    python eval.py --hf ../checkpoint --pages DIR       # the exported folder, through transformers

CER is the Levenshtein distance over the length of the truth, summed over all pages of a row.
"""
import argparse
import collections
import glob
import os
import random

import numpy as np
import torch
from PIL import Image

from data import Corpus, page
from prompt import IE, IP, MID, PRE, decode


def distance(a, b):
    p = np.arange(len(b) + 1)
    bb = np.frombuffer(b.encode("utf-32-le"), dtype=np.uint32)
    for i, x in enumerate(a):
        c = np.empty_like(p)
        c[0] = i + 1
        c[1:] = np.minimum(p[1:] + 1, p[:-1] + (bb != ord(x)))
        ar = np.arange(len(c))
        p = np.minimum.accumulate(c - ar) + ar
    return int(p[-1])


class Own:
    def __init__(self, path, raw=False):
        from model import Tiny

        self.model = Tiny()
        c = torch.load(path, weights_only=False)
        self.model.load_state_dict(c["model"] if raw else c["ema"])
        self.model.eval()

    def read(self, images, most):
        h, w = images[0].shape
        to = (round(w / 32) * 32, round(h / 32) * 32)
        if to != (w, h):  # as the image processor does
            images = [np.asarray(Image.fromarray(a.astype(np.uint8)).resize(to, Image.BICUBIC), dtype=np.float32) for a in images]
        out = self.model.read(torch.from_numpy(np.stack(images)), torch.tensor(PRE), torch.tensor(MID), IE, most)
        return [decode(o) for o in out]


class HF:
    def __init__(self, path):
        from transformers import AutoImageProcessor, Qwen3VLForConditionalGeneration

        self.model = Qwen3VLForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()
        self.proc = AutoImageProcessor.from_pretrained(path)

    def read(self, images, most):
        out = []
        for a in images:
            im = Image.fromarray(a.astype(np.uint8)).convert("RGB")
            q = self.proc(images=[im], return_tensors="pt")
            ids = torch.tensor([PRE + [IP] * (int(q["image_grid_thw"].prod()) // 4) + MID])
            with torch.no_grad():
                o = self.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == IP).int(), max_new_tokens=most, do_sample=False, pixel_values=q["pixel_values"], image_grid_thw=q["image_grid_thw"])
            o = o[0, ids.shape[1] :].tolist()
            out.append(decode(o[: o.index(IE)] if IE in o else o))
        return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--ck")
    a.add_argument("--hf")
    a.add_argument("--raw", action="store_true", help="the weights of the last step instead of the averaged ones")
    a.add_argument("--pages")
    a.add_argument("--only", default="", help="only the classes whose name starts so")
    a.add_argument("--most", type=int, default=99, help="pages of a class")
    a.add_argument("--drawn", type=int, default=0)
    a.add_argument("--size", default="512x384")
    a.add_argument("--show", type=int, default=0)
    o = a.parse_args()
    torch.set_num_threads(2)
    reader = HF(o.hf) if o.hf else Own(o.ck, o.raw)
    todo = collections.defaultdict(list)
    if o.drawn:
        r, corpus = random.Random(99), Corpus(True)
        w, h = map(int, o.size.split("x"))
        for _ in range(o.drawn):
            p = page(r, corpus, w, h, prose=0.8)
            todo["drawn by PIL " + o.size].append((p.image, p.text))
    if o.pages:
        for f in sorted(glob.glob(os.path.join(o.pages, o.only + "*.png"))):
            k = os.path.basename(f).rsplit("-", 1)[0]
            if len(todo[k]) < o.most:
                todo[k].append((np.asarray(Image.open(f).convert("L"), dtype=np.float32), open(f[:-4] + ".txt").read()))
    te = tn = 0
    for k, pages in todo.items():
        e = n = 0
        perfect = 0
        sizes = collections.defaultdict(list)
        for im, t in pages:
            sizes[im.shape].append((im, t))
        for group in sizes.values():
            most = max(len(t) for _, t in group) + 30
            for (im, t), s in zip(group, reader.read([im for im, _ in group], most)):
                d = distance(s, t)
                e, n, perfect = e + d, n + len(t), perfect + (d == 0)
                if o.show:
                    o.show -= 1
                    print("TRUE", repr(t), "\nREAD", repr(s), d, flush=True)
        print(f"{k:24s} CER {e / n:.4f}  pages {len(pages)}  perfect {perfect}  characters {n}", flush=True)
        te, tn = te + e, tn + n
    print(f"{'all':24s} CER {te / tn:.4f}  characters {tn}")


if __name__ == "__main__":
    main()
