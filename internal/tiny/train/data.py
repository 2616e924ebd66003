"""Draws training pages: Go Mono, any size from 23.5 to 30.5 px, anywhere on the page, with the cell of every character.

A page is a grey image and the Markdown it shows. For dense supervision it also says, for every 32x32 px cell (one visual
token of the model), which characters have their center in it, what comes before and after them in the Markdown, and for
every character of the Markdown which cell shows it.
"""
import glob
import os
import random
import re
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 32
PREV, INSIDE = 4, 3  # characters kept before a cell's first one; most characters of a line in a cell
SLOTS = PREV + INSIDE + 1  # one after the last
IGNORE = -100
ASC, DESC = 0.945, 0.211  # Go Mono, in em
ADV = 0.6


def held_out(text):
    """One document in ten is never trained on; eval.py draws only these."""
    return zlib.crc32(text[:60].encode()) % 10 == 0


def documents():
    """English prose: docstrings of Python's library, longer comments of Go's, licences. One string a document."""
    out = []
    for p in sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py") + glob.glob(os.path.dirname(os.__file__) + "/*/*.py")):
        if "site-packages" in p or "/test" in p or "/idlelib" in p:
            continue
        found = re.findall(r'"""(.*?)"""', open(p, errors="ignore").read(), flags=re.S)
        if found:
            out.append("\n\n".join(found))
    for p in sorted(glob.glob("/usr/share/common-licenses/*")):
        out.append(open(p, errors="ignore").read())
    goroot = os.environ.get("GOROOT", "/usr/local/go")
    for p in sorted(glob.glob(goroot + "/src/*/*.go") + glob.glob(goroot + "/src/*/*/*.go")):
        if p.endswith("_test.go") or "/cmd/" in p or "/vendor/" in p or "/testdata/" in p:
            continue
        found = re.findall(r"((?:^//(?: .*)?\n){3,})", open(p, errors="ignore").read(), flags=re.M)
        if found:
            out.append("\n\n".join(re.sub(r"^// ?", "", f, flags=re.M) for f in found if "Copyright" not in f))
    return out


def paragraphs(doc):
    out = []
    for p in re.split(r"\n\s*\n", doc):
        p = "".join(c for c in re.sub(r"\s+", " ", p).strip() if 32 <= ord(c) < 127)
        if 40 < len(p) < 2000 and sum(c.isalpha() or c == " " for c in p) / len(p) > 0.85:
            out.append(p)
    return out


class Corpus:
    """Paragraphs of one split and the word list (Debian's wamerican)."""

    def __init__(self, heldout=False):
        ps = []
        for d in documents():
            if held_out(d) == heldout:
                ps += paragraphs(d)
        self.prose = list(dict.fromkeys(ps))
        self.words = [w.strip() for w in open("/usr/share/dict/words") if w.strip().isascii()]

    def item(self, r):
        """A number, date, price, code, address or random string."""
        k = r.randrange(9)
        if k == 0:
            return f"${r.randrange(1, 9999)}.{r.randrange(100):02d}"
        if k == 1:
            return f"{r.randrange(1980, 2030)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}"
        if k == 2:
            return "".join(r.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(r.randrange(3, 8)))
        if k == 3:
            return f"{r.randrange(0, 100)}%"
        if k == 4:
            return str(r.randrange(10 ** r.randrange(1, 7)))
        if k == 5:
            return "".join(chr(r.randrange(33, 127)) for _ in range(r.randrange(1, 6)))
        if k == 6:
            return f"{r.randrange(1, 9999):,}.{r.randrange(100):02d}"
        if k == 7:
            w = lambda: re.sub(r"\W", "", r.choice(self.words)).lower()[:7]
            return f"{w()}@{w()}.{r.choice(['com', 'org', 'net', 'eu'])}"
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(r.randrange(2, 9)))

    def take(self, r, n, prose=0.7):
        """n words: a run of prose, or words at random with some items among them."""
        if r.random() < prose:
            ws = r.choice(self.prose).split(" ")
            i = r.randrange(max(1, len(ws) - n + 1))
            ws = ws[i : i + n]
            if r.random() < 0.1:
                ws[r.randrange(len(ws))] = self.item(r)
            return ws
        rate = r.choice([0.05, 0.3, 0.6])
        return [self.item(r) if r.random() < rate else r.choice(self.words) for _ in range(n)]


class Few:
    """A handful of words in any order: the same few letters come again and again, so only the place tells what is next."""

    def __init__(self, r, corpus):
        self.pool = [w for _ in range(4) for w in corpus.take(r, r.randrange(1, 5))]

    def take(self, r, n, prose=0.7):
        return [r.choice(self.pool) for _ in range(n)]


FONTS = ["Go-Mono.ttf", "Go-Mono-Bold.ttf"]
FONTDIR = os.environ.get("GOFONTS", "/usr/share/fonts/fonts-go/")
SS = 8  # supersampling of the unhinted look
_fonts, _glyphs = {}, {}


def _font(bold, size):
    k = (bold, size)
    if k not in _fonts:
        _fonts[k] = ImageFont.truetype(FONTDIR + FONTS[bold], size)
    return _fonts[k]


def glyph(bold, size, ch, px, py, hinted):
    """Coverage (float32, 0..1) of one glyph whose pen is at (4, asc) of the tile, plus px/4, py/4 of a pixel."""
    k = (bold, size, ch, px, py, hinted)
    g = _glyphs.get(k)
    if g is None:
        up = int(size * 1.0) + 3
        w, h = int(size * ADV) + 9, up + int(size * 0.3) + 3
        if hinted:
            im = Image.new("L", (w, h), 0)
            ImageDraw.Draw(im).text((4, up), ch, font=_font(bold, size), fill=255, anchor="ls")
            a = np.asarray(im, dtype=np.float32)
        else:
            im = Image.new("L", (w * SS, h * SS), 0)
            q = SS // 4
            ImageDraw.Draw(im).text((4 * SS + px * q, up * SS + py * q), ch, font=_font(bold, size * SS), fill=255, anchor="ls")
            a = np.asarray(im, dtype=np.float32).reshape(h, SS, w, SS).mean((1, 3))
        g = (np.ascontiguousarray(a / 255, dtype=np.float32), up)
        _glyphs[k] = g
    return g


def wrap(words, cols, most):
    lines, cur = [], ""
    for t in words:
        t = t[:cols]
        c = cur + " " + t if cur else t
        if len(c) > cols:
            lines.append(cur)
            if len(lines) == most:
                return lines
            cur = t
        else:
            cur = c
    if cur and len(lines) < most:
        lines.append(cur)
    return lines


def layout(r, corpus, w, h, size, lead, x0, y0, mx, prose=0.7, spread=1.0):
    """Flows blocks down the page. Returns lines [(text, x, baseline, size, bold)] and the Markdown as
    (character, line, column) with line -1 where the page shows nothing."""
    lines, md = [], []
    y, lh = y0, size * lead
    adv = size * ADV
    cols = int((mx - x0) / adv)

    def put(texts, x, s, bold, l):
        nonlocal y
        for i, t in enumerate(texts):
            if i:
                md.append((" ", -1, 0))
            lines.append((t, x, y + ASC * s, s, bold))
            for j, c in enumerate(t):
                md.append((c, len(lines) - 1, j))
            y += l

    def room(s, l):
        return int((h - y - (ASC + DESC) * s * 0.97) // l) + 1

    def mark(s):
        for c in s:
            md.append((c, -1, 0))

    first = True
    while True:
        n = room(size, lh)
        if n < 1 or cols < 2:
            break
        k = r.random()
        tall = h >= 96
        if (first and tall and k < 0.6) or (not first and tall and k < 0.15):
            one = r.random() < 0.5
            s = round(size * (r.uniform(1.22, 1.36) if one else 1.0) * 4) / 4
            l = s * lead
            q = wrap(corpus.take(r, r.randrange(1, 7), prose), int((mx - x0) / (s * ADV)), min(2, room(s, l)))
            if q and q[0]:
                if not first:
                    mark("\n\n")
                mark("# " if one else "## ")
                put(q, x0, s, 1, l)
                y += lh * r.uniform(0.3, 0.9)
            first = False
            continue
        if k > 0.8 and tall and n >= 2 and cols > 6:
            start = True
            for _ in range(r.randrange(2, 6)):
                n = room(size, lh)
                if n < 1:
                    break
                q = wrap(corpus.take(r, r.randrange(1, 9), prose), cols - 2, n)
                if not first or not start:
                    mark("\n\n" if start else "\n")
                put(["- " + q[0]], x0, size, 0, lh)
                if len(q) > 1:
                    mark(" ")
                    put(q[1:], x0 + 2 * adv, size, 0, lh)
                start = first = False
            y += lh * r.uniform(0.5, 1.1)
            continue
        q = wrap(corpus.take(r, r.randrange(1, int(30 * spread) + 2), prose), cols, n)
        if not first:
            mark("\n\n")
        put(q, x0, size, 0, lh)
        y += lh * r.uniform(0.5, 1.1)
        first = False
        if r.random() < 0.05:
            break
    return lines, md


def draw(r, lines, w, h, hinted, bg, fg):
    cov = np.zeros((h + 96, w + 96), dtype=np.float32)  # a frame of 48 for overhang
    for t, x, b, s, bold in lines:
        if hinted:
            b = round(b)
        for j, c in enumerate(t):
            if c == " ":
                continue
            gx = x + j * s * ADV
            if hinted:
                qx, qy = round(gx) * 4, int(b) * 4
            else:
                qx, qy = round(gx * 4), round(b * 4)
            g, up = glyph(bold, s, c, qx % 4, qy % 4, hinted)
            x1, y1 = qx // 4 - 4 + 48, qy // 4 - up + 48
            if x1 < 0 or y1 < 0 or x1 + g.shape[1] > cov.shape[1] or y1 + g.shape[0] > cov.shape[0]:
                continue
            v = cov[y1 : y1 + g.shape[0], x1 : x1 + g.shape[1]]
            np.maximum(v, g, out=v)
    return bg + (fg - bg) * cov[48 : 48 + h, 48 : 48 + w]


class Page:
    """image [h, w] float32 0..255, text, cells [cells, 2, SLOTS] (class ids), where [len(text), 2] (cell or -1)."""


def classes(c):
    """0 nothing, 1..95 printable, 96 newline, 97 end."""
    return 96 if c == "\n" else ord(c) - 31


def page(r, corpus, w, h, prose=0.7, size=None, lead=None, hinted=None, plain=False, spread=None, few=0.0):
    if r.random() < few:
        corpus = Few(r, corpus)
    spread = spread or r.choice([1.0, 1.0, 3.0])
    for _ in range(20):
        dense = r.random() < 0.3  # the hardest pages: small letters, two lines in one cell
        s = size or r.randrange(94, 104 if dense else 123) / 4
        ld = lead or r.uniform(1.14, 1.22 if dense or r.random() < 0.2 else 1.46)
        top = min(40.0, max(0.0, h - s * 1.2))
        x0 = r.uniform(2, 40) if w >= 256 else r.uniform(2, 16)
        y0 = r.uniform(0, top)
        mx = w - (r.uniform(0, 40) if w >= 256 else 2)
        lines, md = layout(r, corpus, w, h, s, ld, x0, y0, mx, prose, spread)
        if lines and md:
            break
    else:
        raise ValueError("no page fits")
    hint = hinted if hinted is not None else r.random() < 0.2
    a = draw(r, lines, w, h, hint, 255 if plain else r.randrange(225, 256), 0 if plain else r.randrange(0, 70))
    if not plain:
        if r.random() < 0.15:  # what a resize does to the glyphs
            k = r.uniform(0.1, 0.35)
            a = (1 - k) * a + k / 4 * (np.roll(a, 1, 0) + np.roll(a, -1, 0) + np.roll(a, 1, 1) + np.roll(a, -1, 1))
        if r.random() < 0.25:
            a = a + np.float32(r.uniform(0, 6)) * np.random.default_rng(r.randrange(1 << 30)).standard_normal(a.shape, dtype=np.float32)
        a = np.clip(np.round(a), 0, 255)
    p = Page()
    p.image, p.size, p.lead = a.astype(np.float32), s, ld
    p.text = "".join(c for c, _, _ in md)
    cw, chh = w // CELL, h // CELL
    n = len(md)
    ids = [0] * PREV + [classes(c) for c, _, _ in md] + [97]
    cells = np.full((cw * chh, 2, SLOTS), IGNORE, dtype=np.int16)
    cells[:, :, PREV] = 0
    used = np.zeros(cw * chh, dtype=np.int8)
    where = np.full((n, 2), -1, dtype=np.int32)
    last = (-1, -1)  # (line, cell) of the run being filled
    slot = k = 0
    for i, (c, li, j) in enumerate(md):
        if li < 0:
            continue
        t, x, b, sz, _ = lines[li]
        cx, cy = x + (j + 0.5) * sz * ADV, b - 0.28 * sz
        ci, cj = min(chh - 1, max(0, int(cy // CELL))), min(cw - 1, max(0, int(cx // CELL)))
        cell = ci * cw + cj
        other, dx, dy = cell, cx - cj * CELL, cy - ci * CELL
        if dx < 5 and cj:
            other = cell - 1
        elif dx > 27 and cj < cw - 1:
            other = cell + 1
        where[i] = (cell, other)
        if (li, cell) != last:
            if used[cell] >= 2:
                last = (-1, -1)
                continue
            k = used[cell]
            used[cell] += 1
            cells[cell, k] = 0
            cells[cell, k, :PREV] = ids[i : i + PREV]
            last, slot = (li, cell), 0
        if slot < INSIDE:
            cells[cell, k, PREV + slot] = ids[i + PREV]
            cells[cell, k, SLOTS - 1] = ids[i + PREV + 1]
            slot += 1
    nxt = (-1, -1)
    for i in range(n - 1, -1, -1):  # what the page does not show points to the next character it shows
        if where[i, 0] < 0:
            where[i] = nxt
        else:
            nxt = where[i].copy()
    p.cells, p.where = cells, where
    return p


if __name__ == "__main__":
    import argparse
    import time

    a = argparse.ArgumentParser(description="Writes the held-out paragraphs, or examples of training pages.")
    a.add_argument("-heldout", help="file to write the held-out paragraphs to")
    a.add_argument("-examples", help="folder to write four training pages to")
    o = a.parse_args()
    if o.heldout:
        open(o.heldout, "w").write("\n\n".join(Corpus(True).prose))
    c, r = Corpus(), random.Random(1)
    print(len(c.prose), "paragraphs to train on,", sum(map(len, c.prose)), "characters")
    t0 = time.time()
    for i, (w, h) in enumerate([(128, 64), (256, 64), (384, 128), (512, 384)]):
        p = page(r, c, w, h)
        if o.examples:
            Image.fromarray(p.image.astype("uint8")).save(f"{o.examples}/ex{i}.png")
        print(repr(p.text))
