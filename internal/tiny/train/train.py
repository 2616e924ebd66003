"""Trains the tiny reader: python train.py --work DIR --until 20:00. Resumes from DIR/ck.pt; writes DIR/ck.pt, DIR/best.pt and DIR/log.

SIGTERM saves and ends. Stopping the process for a while (SIGSTOP) only costs that time.

The schedule follows the time spent, of that and what is left: the learning rate is constant, then falls to 2 % over the last 45 % of the time, and a level ends
when it is read well enough or its share of the time is over. Averaged weights (EMA) are kept beside the raw ones, so the
checkpoint can be exported at any time; best.pt holds those that read held-out pages best.
"""
import argparse
import datetime
import multiprocessing as mp
import os
import random
import signal
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from data import ALL, HTML, MARKDOWN, Kind, page
from levenshtein import distance
from fonts import HELD_OUT
from model import Tiny
from prompt import IE, PRE, after, decode, encode
from text import Corpus


@dataclass
class Level:
    """Pages of a curriculum step: sides in px (multiples of 32), what is on them and what share of them is drawn so, how many of
    ten batches ask for HTML, the share of characters right (teacher forced) that ends it, the share of the time at which it
    ends anyway."""

    width: tuple
    height: tuple
    kinds: list
    html: float = 0.0
    enough: float = 1.0
    until: float = 1.0


OLD = Kind(old=True, damage=0.4, few=0.12)
FONTS = Kind(size=(14, 30), few=0.1, damage=0.3)
MORE = replace(FONTS, kinds=("h3", "ol", "italic", "form", "code"), latin=0.15)
FULL = replace(MORE, size=(14, 28), kinds=ALL, columns=0.2, damage=0.4)
SMALL = replace(FULL, size=(14, 28), columns=0.3, long=1.5)
LEVELS = [
    Level((128, 320), (64, 64), [(1, OLD)], enough=0.50, until=0.1),
    Level((256, 512), (64, 192), [(1, OLD)], enough=0.78, until=0.2),
    Level((256, 512), (128, 384), [(1, OLD)], enough=0.90, until=0.25),
    Level((256, 512), (64, 160), [(2, OLD), (8, FONTS)], enough=0.90, until=0.3),
    Level((320, 512), (128, 288), [(2, OLD), (8, MORE)], enough=0.92, until=0.5),
    Level((384, 512), (192, 384), [(2, OLD), (8, FULL)], html=0.12, enough=0.94, until=0.75),
    Level((512, 704), (384, 640), [(1, FULL), (1, SMALL)], html=0.2),
]
FIRST = 3  # the level to begin with when the weights read Go Mono already
KEEP = 0.25  # of the batches after that are of the level before it, so that nothing is forgotten
WORK = 3600  # visual tokens and characters in a batch
NOISE = 0.04  # share of the fed characters replaced


def draw(queue, level, seed):
    """The worker: batches of the level, two in five of one before."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    r, corpus = random.Random(seed), Corpus()
    while True:
        top = level.value
        low = 0 if top < FIRST else FIRST
        k = top if r.random() < 0.6 or top == low else r.randrange(low, top)
        if low and r.random() < KEEP:
            k = FIRST - 1
        l = LEVELS[k]
        w, h = r.randrange(l.width[0], l.width[1] + 1, 32), r.randrange(l.height[0], l.height[1] + 1, 32)
        asks = r.random() < l.html
        kinds = [(n, replace(q, html=1.0)) for n, q in l.kinds if not q.old] if asks else l.kinds
        pages, longest = [], 0
        while len(pages) < 64:
            p = page(r, corpus, w, h, r.choices([q for _, q in kinds], [n for n, _ in kinds])[0])
            longest = max(longest, len(p.text.encode()))
            pages.append(p)
            if (len(pages) + 1) * (longest + w * h // 1024) > WORK:
                break
        queue.put((k, HTML if asks else MARKDOWN, *collate(r, pages, after(HTML if asks else MARKDOWN)[-1])))


def collate(r, pages, ask, noise=NOISE):
    """ask: the prompt's last token, which asks for the first character."""
    out = [(encode(p.text), np.repeat(p.where, [len(c.encode()) for c in p.text], 0)) for p in pages]
    n, most = len(pages), max(len(o) for o, _ in out) + 1
    ids, lab = np.full((n, most), ask), np.full((n, most), -100)
    where = np.full((n, most, 2), -1)
    for i, (o, at) in enumerate(out):
        ids[i, 1 : len(o) + 1], lab[i, : len(o) + 1], where[i, : len(o)] = o, o + [IE], at
        for j in range(1, len(o) + 1):
            if r.random() < noise:
                ids[i, j] = r.choice(o)
    return np.stack([p.image for p in pages]).astype(np.uint8), ids, lab, np.stack([p.cells for p in pages]), where


class HeldOut:
    """A few pages of held-out text: as DrawPage draws them, in the fonts of training, and in fonts held out."""

    def __init__(self):
        r, corpus = random.Random(7), Corpus(True)
        new = Kind(size=(18, 28), kinds=ALL, latin=0.1, damage=0.3)
        self.sets = {
            "old": [page(r, corpus, 448, 224, replace(OLD, damage=0, few=0)) for _ in range(6)],
            "seen": [page(r, corpus, 448, 224, new) for _ in range(8)],
            "unseen": [page(r, corpus, 448, 224, replace(new, family=f)) for f in list(HELD_OUT) * 2],
        }
        self.model = Tiny().eval()

    def cer(self, weights):
        """Character error rate of each set."""
        self.model.load_state_dict(weights)
        out = {}
        for name, pages in self.sets.items():
            images = torch.from_numpy(np.stack([p.image for p in pages]))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                read = self.model.read(images, torch.tensor(PRE), torch.tensor(after(MARKDOWN)), IE, max(len(p.text.encode()) for p in pages) + 20)
            wrong = sum(min(len(p.text), distance(decode(o), p.text)) for p, o in zip(pages, read))
            out[name] = wrong / sum(len(p.text) for p in pages)
        return out


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
    a.add_argument("--init", default="", help="folder of a checkpoint to begin with; random weights if empty")
    a.add_argument("--level", type=int, default=None, help="start at this level")
    a.add_argument("--top", type=int, default=len(LEVELS) - 1, help="the last level, where there is too little time for all")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--muon", type=float, default=0.02)
    a.add_argument("--adam", type=float, default=2e-3)
    a.add_argument("--cooldown", type=float, default=0.45)
    a.add_argument("--every", type=float, default=300, help="seconds between two readings of held-out pages")
    o = a.parse_args()
    hh, mm = map(int, o.until.split(":"))
    end = datetime.datetime.now().replace(hour=hh, minute=mm, second=0).timestamp()
    os.makedirs(o.work, exist_ok=True)
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    torch.manual_seed(o.seed)
    model, state = Tiny(), dict(step=0, level=FIRST if o.init else 0, spent=0.0, pages=0, chars=0, best=9.0)
    if o.init:
        from safetensors.torch import load_file

        model.start_from(load_file(os.path.join(o.init, "model.safetensors")))
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
        ema, state = c["ema"], state | c["state"]
    if o.level is not None:
        state["level"] = o.level
    level, queue = mp.Value("i", state["level"]), mp.Queue(6)
    mp.Process(target=draw, args=(queue, level, o.seed * 100000 + state["step"]), daemon=True).start()
    log = open(os.path.join(o.work, "log"), "a", buffering=1)
    held = HeldOut()
    pre = torch.tensor(PRE)
    mid = {p: torch.tensor(after(p)[:-1]) for p in (MARKDOWN, HTML)}
    right, shown, t0, saved, read, last = [None] * len(LEVELS), {}, time.time(), time.time(), 0, state["chars"]
    since, tick = 0, time.time()  # batches since the level rose; when the last one ended
    log.write(f"start {vars(o)}\n")
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))

    def look():
        cer = held.cer(ema)
        mean = sum(cer.values()) / len(cer)
        log.write(f"{time.strftime('%H:%M:%S')} step {state['step']} held-out CER " + " ".join(f"{k} {v:.4f}" for k, v in cer.items()) + "\n")
        if mean < state["best"]:
            state["best"] = mean
            save(os.path.join(o.work, "best.pt"), dict(ema=ema, state=state, cer=cer))

    while time.time() < end and not stop:
        if time.time() - read > o.every:
            look()
            read = time.time()
        k, asked, image, ids, lab, cells, where = queue.get()
        now = time.time()
        state["spent"], tick = state["spent"] + min(30, now - tick), now  # not the time for which the process was stopped
        frac = state["spent"] / (state["spent"] + max(1, end - now))
        rate = min(1, (state["step"] + 1) / 100, max(0.02, (1 - frac) / o.cooldown))
        for q, base in zip(opts, (o.muon, o.adam)):
            for g in q.param_groups:
                g["lr"] = base * rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            l = model(torch.from_numpy(image).float(), torch.from_numpy(ids), torch.from_numpy(lab), torch.from_numpy(cells).long(), torch.from_numpy(where), pre, mid[asked])
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
        d = min(0.998, (1 + state["step"]) / (20 + state["step"]))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), [p.data for _, p in named], 1 - d)
        x = l["right"].item()
        right[k] = x if right[k] is None else 0.95 * right[k] + 0.05 * x
        since += k == level.value
        at = LEVELS[level.value]
        if frac > at.until or (since > 40 and right[level.value] > at.enough):
            level.value = state["level"] = min(o.top, level.value + 1)
            since = 0
        row = dict(text=l["text"], see=l["see"], cells=l["cells"], **{f"p{i}": v for i, v in enumerate(l["point"])})
        for n, v in row.items():
            shown[n] = 0.9 * shown.get(n, v.item()) + 0.1 * v.item()
        if state["step"] % 25 == 0:
            dt = time.time() - t0
            print(f"{time.strftime('%H:%M:%S')} step {state['step']} level {level.value} lr {rate:.2f} {25 / dt:.2f} step/s {(state['chars'] - last) / dt:.0f} char/s queue {queue.qsize()} pages {state['pages']} "
                  + " ".join(f"{n} {v:.3f}" for n, v in shown.items()) + " right " + " ".join("-" if x is None else f"{x:.3f}" for x in right), file=log)
            t0, last = time.time(), state["chars"]
        if time.time() - saved > 90:
            save(ck, dict(model=model.state_dict(), opts=[q.state_dict() for q in opts], ema=ema, state=state))
            saved = time.time()
    look()
    save(ck, dict(model=model.state_dict(), opts=[q.state_dict() for q in opts], ema=ema, state=state))


def save(path, what):
    torch.save(what, path + ".new")
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
