"""How well it reads held-out pages, greedily, by class of page.

    python eval.py --hf ../checkpoint --drawn 8         # pages of data.py: text and, for "unseen", fonts never trained on
    python eval.py --hf ../checkpoint --pages DIR       # pages drawn by Go (see pages/main.go): one row a class
    python eval.py --ck work/best.pt --drawn 8          # weights of train.py, not exported yet
    python eval.py --own ../checkpoint --drawn 8        # the exported folder through model.py, many pages at once

CER is the Levenshtein distance over the length of the truth, summed over all pages of a row; more than the whole text of a page is
not counted. Cells: the share of table cells that are right to the letter and in their place. IoU: of the boxes of data-bbox and of
the comments, in their order, with the true ones; a missing one counts as 0.
"""
import argparse
import collections
import glob
import os
import random
import re
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from data import ALL, HTML, MARKDOWN, Kind, page
from fonts import FAMILIES, HELD_OUT
from levenshtein import distance
from prompt import IE, IP, PRE, after, decode
from text import Corpus

CLEAN = Kind(size=(20, 28), damage=0)
CLASSES = {  # name: (the page, its sides, what must be on it)
    "prose, a few lines": (CLEAN, (448, 128), "p"),
    "prose": (CLEAN, (512, 384), "p"),
    "prose, 16 to 19 px": (replace(CLEAN, size=(16, 19)), (512, 384), "p"),
    "prose, 14 to 15 px": (replace(CLEAN, size=(14, 15)), (512, 384), "p"),
    "headings and lists": (replace(CLEAN, kinds=("h3", "ol", "italic")), (512, 384), "ol"),
    "letters of Latin-1": (replace(CLEAN, latin=1.0), (512, 384), "p"),
    "forms": (replace(CLEAN, kinds=("form",)), (512, 384), "..."),
    "code": (replace(CLEAN, kinds=("code",)), (512, 384), "code"),
    "tables": (replace(CLEAN, size=(17, 24), kinds=("table",)), (512, 384), "table"),
    "pictures": (replace(CLEAN, kinds=("image",)), (512, 384), "image"),
    "two columns": (replace(CLEAN, size=(16, 19), columns=1.0), (640, 384), "p"),
    "damaged": (replace(CLEAN, damage=1.0), (512, 384), "p"),
    "HTML": (replace(CLEAN, size=(17, 24), kinds=ALL, html=1.0), (512, 384), "p"),
    "all on a large page": (replace(CLEAN, size=(16, 22), kinds=ALL, columns=0.3), (704, 640), "p"),
}


def drawn(n):
    """{row: [(image, prompt, text)]}: every class in the fonts of training and in those held out."""
    r, corpus, out = random.Random(99), Corpus(True), {}
    for name, (kind, (w, h), must) in CLASSES.items():
        for which, families in (("seen", FAMILIES), ("unseen", HELD_OUT)):
            pages, order = [], r.sample(list(families), len(families))
            while len(pages) < n:
                p = page(r, corpus, w, h, replace(kind, family=order[len(pages) % len(order)]))
                if any(b.kind == must for b in p.blocks) or must == "..." in p.text:
                    pages.append((p.image, p.prompt, p.text))
            out[f"{name} | {which}"] = pages
    return out


def stored(folder, only, most):
    out = collections.defaultdict(list)
    for f in sorted(glob.glob(os.path.join(folder, only + "*.png"))):
        k = os.path.basename(f).rsplit("-", 1)[0]
        if len(out[k]) < most:
            out[k].append((np.asarray(Image.open(f).convert("L"), dtype=np.float32), MARKDOWN, open(f[:-4] + ".txt").read()))
    return out


class Own:
    """model.py with the averaged weights of train.py, or those of an exported folder."""

    def __init__(self, ck=None, folder=None):
        from model import Tiny

        self.model = Tiny().eval()
        if ck:
            self.model.load_state_dict(torch.load(ck, weights_only=False)["ema"])
        else:
            from safetensors.torch import load_file

            self.model.start_from(load_file(os.path.join(folder, "model.safetensors")))

    def read(self, images, prompt, most):
        h, w = images[0].shape
        to = (round(w / 32) * 32, round(h / 32) * 32)
        if to != (w, h):  # as the image processor does
            images = [np.asarray(Image.fromarray(a.astype(np.uint8)).resize(to, Image.BICUBIC), dtype=np.float32) for a in images]
        out = self.model.read(torch.from_numpy(np.stack(images)), torch.tensor(PRE), torch.tensor(after(prompt)), IE, most)
        return [decode(o) for o in out]


class HF:
    def __init__(self, path):
        from transformers import AutoImageProcessor, Qwen3VLForConditionalGeneration

        self.model = Qwen3VLForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()
        self.proc = AutoImageProcessor.from_pretrained(path)

    def read(self, images, prompt, most):
        out = []
        for a in images:
            im = Image.fromarray(a.astype(np.uint8)).convert("RGB")
            q = self.proc(images=[im], return_tensors="pt")
            ids = torch.tensor([PRE + [IP] * (int(q["image_grid_thw"].prod()) // 4) + after(prompt)])
            with torch.no_grad():
                o = self.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == IP).int(), max_new_tokens=most, do_sample=False, pixel_values=q["pixel_values"], image_grid_thw=q["image_grid_thw"])
            o = o[0, ids.shape[1] :].tolist()
            out.append(decode(o[: o.index(IE)] if IE in o else o))
        return out


def cells(text):
    """{(table, row, column): what it says} of the Markdown tables in a text."""
    out, table, row, inside = {}, -1, 0, False
    for line in text.split("\n"):
        if not line.startswith("|"):
            inside = False
        elif not re.fullmatch(r"[|\s-]*", line):
            table, row, inside = (table, row + 1, True) if inside else (table + 1, 0, True)
            for j, c in enumerate(line.strip().strip("|").split(" | ")):
                out[table, row, j] = c.strip()
    return out


def boxes(text):
    found = re.findall(r'data-bbox="(\d+) (\d+) (\d+) (\d+)"|<!-- (?:Table|Image) \((\d+), (\d+), (\d+), (\d+)\) -->', text)
    return [tuple(int(v) for v in b if v) for b in found]


def iou(a, b):
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, wide) * max(0, tall)
    area = lambda q: max(0, q[2] - q[0]) * max(0, q[3] - q[1])
    return both / max(1, area(a) + area(b) - both)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--ck")
    a.add_argument("--hf")
    a.add_argument("--own")
    a.add_argument("--pages")
    a.add_argument("--only", default="", help="only the classes whose name starts so")
    a.add_argument("--most", type=int, default=99, help="pages of a class")
    a.add_argument("--drawn", type=int, default=0, help="pages of each class that data.py draws")
    a.add_argument("--save", help="folder to write what was read to")
    a.add_argument("--show", type=int, default=0)
    o = a.parse_args()
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    reader = HF(o.hf) if o.hf else Own(o.ck, o.own)
    todo = {k: v for k, v in (drawn(o.drawn) if o.drawn else {}).items() if k.startswith(o.only)}
    if o.pages:
        todo |= stored(o.pages, o.only, o.most)
    te = tn = 0
    for k, pages in todo.items():
        e = n = perfect = c_right = c_all = 0
        ious, groups = [], collections.defaultdict(list)
        for im, prompt, t in pages:
            groups[im.shape, prompt].append((im, t))
        for (_, prompt), group in groups.items():
            most = max(len(t.encode()) for _, t in group) + 30
            for i, ((im, t), s) in enumerate(zip(group, reader.read([im for im, _ in group], prompt, most))):
                d = min(len(t), distance(s, t))
                e, n, perfect = e + d, n + len(t), perfect + (d == 0)
                want, got = cells(t), cells(s)
                c_right, c_all = c_right + sum(got.get(at) == v for at, v in want.items()), c_all + len(want)
                theirs = boxes(s)
                ious += [iou(b, theirs[j]) if j < len(theirs) else 0.0 for j, b in enumerate(boxes(t))]
                if o.save:
                    os.makedirs(o.save, exist_ok=True)
                    open(os.path.join(o.save, f"{k}-{i:02d}.txt".replace(" ", "_")), "w").write(s)
                if o.show:
                    o.show -= 1
                    print("TRUE", repr(t), "\nREAD", repr(s), d, flush=True)
        more = (f"  cells {c_right / c_all:.2f} of {c_all}" if c_all else "") + (f"  IoU {np.mean(ious):.2f} of {len(ious)}" if ious else "")
        print(f"{k:32s} CER {e / n:.4f}  pages {len(pages)}  perfect {perfect}  characters {n}{more}", flush=True)
        te, tn = te + e, tn + n
    print(f"{'all':32s} CER {te / tn:.4f}  characters {tn}")


if __name__ == "__main__":
    main()
