"""Trains the tiny reader: python train.py --work DIR --until 20:00. Resumes from DIR/ck.pt; writes DIR/ck.pt and DIR/log.

SIGTERM saves and ends. Stopping the process for a while (SIGSTOP) only costs that time.

The schedule follows the clock: the learning rate is constant, then falls to 2 % over the last 45 % of the time. Averaged
weights (EMA) are kept beside the raw ones, so the checkpoint can be exported at any time.
"""
import argparse
import datetime
import multiprocessing as mp
import os
import random
import signal
import time

import numpy as np
import torch

from data import Corpus, page
from model import Tiny
from prompt import IE, MID, PRE, encode

LEVELS = [  # width, height of a page (px, multiples of 32)
    ((128, 320), (64, 64)),
    ((256, 512), (64, 128)),
    ((320, 512), (96, 192)),
    ((384, 512), (160, 288)),
    ((384, 512), (256, 384)),
    ((512, 512), (352, 384)),
]
ENOUGH = [0.50, 0.68, 0.78, 0.85, 0.90]  # share of characters right (teacher forced) at which the next level starts
WORK = 1280  # cells in a batch
FEW = 0.12  # share of pages that use a handful of words only
NOISE = 0.04  # share of the fed characters replaced


def draw(queue, level, seed):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    r, corpus = random.Random(seed), Corpus()
    while True:
        top = level.value
        k = top if r.random() < 0.6 or not top else r.randrange(top)
        (w0, w1), (h0, h1) = LEVELS[k]
        w, h = r.randrange(w0, w1 + 1, 32), r.randrange(h0, h1 + 1, 32)
        n = min(96, max(4, WORK // (w * h // 1024)))
        pages = [page(r, corpus, w, h, few=FEW) for _ in range(n)]
        queue.put((k, *collate(r, pages)))


def collate(r, pages, noise=NOISE):
    n, most = len(pages), max(len(p.text) for p in pages) + 1
    ids, lab = np.full((n, most), MID[-1]), np.full((n, most), -100)  # the prompt's last token asks for the first character
    where = np.full((n, most, 2), -1)
    for i, p in enumerate(pages):
        o = encode(p.text)
        ids[i, 1 : len(o) + 1], lab[i, : len(o) + 1], where[i, : len(o)] = o, o + [IE], p.where
        for j in range(1, len(o) + 1):
            if r.random() < noise:
                ids[i, j] = r.choice(o)
    return np.stack([p.image for p in pages]).astype(np.uint8), ids, lab, np.stack([p.cells for p in pages]), where


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalized updates (Newton-Schulz), for the weight matrices; one stack per shape."""

    def __init__(self, params, lr=0.02, momentum=0.95, decay=0.01):
        shapes = {}
        for p in params:
            shapes.setdefault(tuple(p.shape), []).append(p)
        super().__init__([dict(params=v) for v in shapes.values()], dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            ps = [p for p in g["params"] if p.grad is not None]
            if not ps:
                continue
            st = self.state[ps[0]]
            grad = torch.stack([p.grad for p in ps])
            if "m" not in st:
                st["m"] = torch.zeros_like(grad)
            st["m"].lerp_(grad, 1 - g["momentum"])
            u = grad.lerp(st["m"], g["momentum"])
            tall = u.shape[1] > u.shape[2]
            x = u.mT if tall else u
            x = (x / (x.norm(dim=(1, 2), keepdim=True) * 1.02 + 1e-7)).bfloat16()
            for a, b, c in [(4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012)]:
                s = x @ x.mT
                x = a * x + (b * s + c * s @ s) @ x
            x = x.mT if tall else x
            scale = max(1, x.shape[1] / x.shape[2]) ** 0.5
            for p, d in zip(ps, x):
                p.mul_(1 - g["lr"] * g["decay"]).add_(d.float(), alpha=-g["lr"] * scale)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--work", default="work")
    a.add_argument("--until", required=True, help="HH:MM, the clock time at which the learning rate reaches its end")
    a.add_argument("--level", type=int, default=None, help="start at this level")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--muon", type=float, default=0.02)
    a.add_argument("--adam", type=float, default=2e-3)
    a.add_argument("--cooldown", type=float, default=0.45)
    o = a.parse_args()
    hh, mm = map(int, o.until.split(":"))
    end = datetime.datetime.now().replace(hour=hh, minute=mm, second=0).timestamp()
    os.makedirs(o.work, exist_ok=True)
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    torch.manual_seed(o.seed)
    model, state = Tiny(), dict(step=0, level=0, began=time.time(), pages=0, chars=0)
    named = list(model.named_parameters())
    matrix = lambda n, p: p.dim() == 2 and "embed" not in n and not n.startswith("aux")
    opts = [
        Muon([p for n, p in named if matrix(n, p)], lr=o.muon),
        torch.optim.AdamW([p for n, p in named if not matrix(n, p)], lr=o.adam, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    ema = {n: p.detach().clone() for n, p in named}
    ck = os.path.join(o.work, "ck.pt")
    if os.path.exists(ck):
        c = torch.load(ck, weights_only=False)
        model.load_state_dict(c["model"])
        for q, s in zip(opts, c["opts"]):
            q.load_state_dict(s)
        ema, state = c["ema"], c["state"]
    if o.level is not None:
        state["level"] = o.level
    level, queue = mp.Value("i", state["level"]), mp.Queue(6)
    mp.Process(target=draw, args=(queue, level, o.seed * 1000 + state["step"]), daemon=True).start()
    log = open(os.path.join(o.work, "log"), "a", buffering=1)
    pre, mid = torch.tensor(PRE), torch.tensor(MID[:-1])
    right, shown, t0, saved, last = [None] * len(LEVELS), {}, time.time(), time.time(), 0
    frozen = 0  # batches since the level rose
    log.write(f"start {vars(o)}\n")
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    while time.time() < end and not stop:
        k, image, ids, lab, cells, where = queue.get()
        frac = (time.time() - state["began"]) / (end - state["began"])
        rate = min(1, (state["step"] + 1) / 100, max(0.02, (1 - frac) / o.cooldown))
        for q, base in zip(opts, (o.muon, o.adam)):
            for g in q.param_groups:
                g["lr"] = base * rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            l = model(torch.from_numpy(image).float(), torch.from_numpy(ids), torch.from_numpy(lab), torch.from_numpy(cells).long(), torch.from_numpy(where), pre, mid)
        help_ = 0.5 if frac < 0.6 else 0.2
        loss = l["text"] + help_ * (l["see"] + l["cells"]) + 0.15 * l["point"].sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for q in opts:
            q.step()
            q.zero_grad(set_to_none=True)
        state["step"] += 1
        state["pages"] += len(ids)
        state["chars"] += int((lab != -100).sum())
        d = min(0.999, (1 + state["step"]) / (20 + state["step"]))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), [p.data for _, p in named], 1 - d)
        if k == level.value:
            x = l["right"].item()
            frozen += 1
            right[k] = x if right[k] is None else 0.95 * right[k] + 0.05 * x
            if k < len(ENOUGH) and right[k] > ENOUGH[k] and frozen > 40:
                level.value = state["level"] = k + 1
                frozen = 0
        else:
            x = l["right"].item()
            right[k] = x if right[k] is None else 0.95 * right[k] + 0.05 * x
        row = dict(text=l["text"], see=l["see"], cells=l["cells"], **{f"p{i}": v for i, v in enumerate(l["point"])})
        for n, v in row.items():
            shown[n] = 0.9 * shown.get(n, v.item()) + 0.1 * v.item()
        if state["step"] % 25 == 0:
            dt = time.time() - t0
            print(f"{time.strftime('%H:%M:%S')} step {state['step']} level {level.value} lr {rate:.2f} {25 / dt:.2f} step/s {(state['chars'] - last) / dt:.0f} char/s pages {state['pages']} "
                  + " ".join(f"{n} {v:.3f}" for n, v in shown.items()) + " right " + " ".join("-" if x is None else f"{x:.3f}" for x in right), file=log)
            t0, last = time.time(), state["chars"]
        if time.time() - saved > 90:
            save(ck, model, opts, ema, state)
            saved = time.time()
    save(ck, model, opts, ema, state)


def save(path, model, opts, ema, state):
    torch.save(dict(model=model.state_dict(), opts=[q.state_dict() for q in opts], ema=ema, state=state), path + ".new")
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
