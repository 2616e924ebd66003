"""Draws training pages: a grey image, the text that is asked for, and where on the page each of its characters is.

For dense supervision a page also says, for every 32x32 px cell (one visual token of the model), which characters have their
center in it, and what comes before and after them in the Markdown.
"""
import io
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from layout import Setter, html, markdown, style
from text import CLASS, END, Accented, Corpus, Few

CELL = 32
PREV, INSIDE = 4, 6  # characters kept before a cell's first one; most characters of a line in a cell
SLOTS = PREV + INSIDE + 1  # one after the last
IGNORE = -100
MARKDOWN, HTML = "qwenvl markdown", "qwenvl html"
PLAIN = ()
ALL = ("h3", "ol", "italic", "form", "code", "table", "image")


@dataclass
class Kind:
    """What a page may be. old: as package tiny's DrawPage draws it; its sizes, fonts and blocks, and no damage."""

    old: bool = False
    family: str = None
    size: tuple = (20, 30)
    kinds: tuple = PLAIN
    columns: float = 0.0  # share of pages with two columns, and with a running head or a page number
    html: float = 0.0
    latin: float = 0.0
    damage: float = 0.5  # share of pages that are not clean: noise, blur, JPEG, low contrast, slight rotation
    few: float = 0.0
    long: float = 1.0


class Page:
    """image [h, w] float32 0..255, prompt, text, cells [cells, 2, SLOTS] (classes of text.py), where [len(text), 2] (cell or -1),
    blocks and runs (layout.py)."""


def page(r, corpus, w, h, kind):
    source = corpus
    if r.random() < kind.few:
        source = Few(r, corpus)
    elif r.random() < kind.latin:
        source = Accented(r, corpus)
    hinted = r.random() < 0.2
    scale = 1 if hinted else 4
    for _ in range(50):
        s = Setter(r, source, style(r, scale, kind.old, kind.family, kind.size), w, h)
        size, roomy = s.s.size, w >= 256
        x0 = r.uniform(2, 40) if roomy else r.uniform(2, 16)
        x1 = w - (r.uniform(2, 40) if roomy else 2)
        y0, bottom = r.uniform(0, min(40.0, max(0.0, h - size * 1.2))), float(h)
        longest = 2 + int(30 * r.choice((1, 1, 3)) * kind.long)
        headings = r.choice((0.5, 1, 1, 2))
        two = r.random() < kind.columns and x1 - x0 > 24 * size
        if r.random() < kind.columns * 0.4 and h > 8 * size:
            s.bottom = h
            if r.random() < 0.5:
                s.line_of(source.take(r, r.randrange(1, 4)), x0, x1, y0, r.choice((0, 0.5, 1)))
                y0 = s.y + size
        if two:
            middle, gutter = (x0 + x1) / 2, size * r.uniform(0.8, 1.6)
            s.fill(kind.kinds, x0, middle - gutter / 2, y0, bottom - 2.5 * size, longest, headings)
            s.fill(kind.kinds, middle + gutter / 2, x1, y0, bottom - 2.5 * size, longest, headings)
        else:
            paged = r.random() < kind.columns
            s.fill(kind.kinds, x0, x1, y0, bottom - 2.5 * size * paged, longest, headings)
        if (two or paged) and h > 8 * size and r.random() < 0.7:
            n = str(r.randrange(1, 400))
            s.bottom = h
            s.line_of(r.choice(([n], [n], [n], ["-", n, "-"], ["Page", n])), x0, x1, h - r.uniform(1.25, 2) * size, r.choice((0, 0.5, 1)))
        if any(b.kind != "image" for b in s.blocks):
            break
    else:
        raise ValueError("no page fits")
    p = Page()
    p.runs, p.blocks, p.style = s.runs, s.blocks, s.s
    p.prompt = HTML if r.random() < kind.html else MARKDOWN
    md = markdown(s.runs, s.blocks, w, h)
    say = html(s.runs, s.blocks, w, h) if p.prompt == HTML else md
    p.text = "".join(c for c, _, _ in say)
    p.image, turn = draw(r, s, w, h, hinted, kind)
    label(p, md, say, w, h, turn)
    return p


def draw(r, s, w, h, hinted, kind):
    """The page's pixels, and how far it is turned (radians, counterclockwise)."""
    scale = s.s.scale
    im = Image.new("L", (w * scale, h * scale), 255)
    d = ImageDraw.Draw(im)
    for what, x0, y0, x1, y1 in s.marks:
        x0, y0, x1, y1 = (round(v * scale) for v in (x0, y0, x1, y1))
        thick = max(1, round(scale * r.uniform(0.6, 1.6)))
        if what == "line":
            d.line((x0, y0, x1, y1), fill=r.choice((0, 90, 150)), width=thick)
        elif what == "shade":
            d.rectangle((x0, y0, x1, y1), fill=r.randrange(215, 240))
        elif what == "frame":
            d.rectangle((x0, y0, x1, y1), outline=60, width=thick)
        else:
            picture(r, d, x0, y0, x1, y1, thick)
    for _, x, base, f, shown in s.runs:
        at = (round(x), round(base)) if hinted else (round(x * scale), round(base * scale))
        d.text(at, shown, font=f.font, fill=0, anchor="ls")
    if scale > 1:
        im = im.reduce(scale)
    paper, ink = r.randrange(225, 256), r.randrange(0, 70)
    damaged = r.random() < kind.damage
    turn = 0.0
    if damaged and not kind.old and r.random() < 0.2:
        turn = math.radians(r.uniform(-0.8, 0.8))
        im = im.rotate(math.degrees(turn), Image.BICUBIC, fillcolor=255)
    if damaged and not kind.old and r.random() < 0.2:
        ink = r.randrange(70, 150)
    if damaged and r.random() < 0.25:  # what a resize does to the glyphs
        im = im.filter(ImageFilter.GaussianBlur(r.uniform(0.25, 0.7)))
    a = ink + (paper - ink) * (np.asarray(im, dtype=np.float32) / 255)
    if damaged and r.random() < 0.5:
        noise = r.uniform(0, 6 if kind.old else 12)
        a = a + np.float32(noise) * np.random.default_rng(r.randrange(1 << 30)).standard_normal(a.shape, dtype=np.float32)
    a = np.clip(np.round(a), 0, 255).astype(np.uint8)
    if damaged and not kind.old and r.random() < 0.3:
        b = io.BytesIO()
        Image.fromarray(a).save(b, "JPEG", quality=r.randrange(25, 80))
        a = np.asarray(Image.open(b))
    return a.astype(np.float32), turn


def picture(r, d, x0, y0, x1, y1, thick):
    d.rectangle((x0, y0, x1, y1), fill=r.randrange(120, 250), outline=r.randrange(150), width=thick)
    at = lambda: (r.uniform(x0, x1), r.uniform(y0, y1))
    for _ in range(r.randrange(1, 8)):
        (a, b), (c, e) = at(), at()
        k = r.randrange(3)
        if k == 0:
            d.ellipse((min(a, c), min(b, e), max(a, c), max(b, e)), fill=r.randrange(256))
        elif k == 1:
            d.line((a, b, c, e), fill=r.randrange(256), width=thick)
        else:
            d.rectangle((min(a, c), min(b, e), max(a, c), max(b, e)), fill=r.randrange(256))


def label(p, md, say, w, h, turn):
    """Fills cells, from the Markdown whatever is asked for (what the page shows is before the prompt), and where."""
    wide, tall = w // CELL, h // CELL
    sin, cos = math.sin(turn), math.cos(turn)
    places = {}  # run -> for every character: its cell, and the next one if it is on an edge
    for k, (t, x, base, f, _) in enumerate(p.runs):
        out, scale = [], p.style.scale
        size = f.size / scale
        for c in t:
            n = f.advance(c) / scale
            dx, dy = x + n / 2 - w / 2, base - 0.28 * size - h / 2
            cx, cy = w / 2 + dx * cos + dy * sin, h / 2 - dx * sin + dy * cos
            i, j = min(tall - 1, max(0, int(cy // CELL))), min(wide - 1, max(0, int(cx // CELL)))
            cell = other = i * wide + j
            if cx - j * CELL < 5 and j:
                other = cell - 1
            elif cx - j * CELL > 27 and j < wide - 1:
                other = cell + 1
            out.append((cell, other, round(base)))
            x += n
        places[k] = out
    ids = [0] * PREV + [CLASS.get(c, 0) for c, _, _ in md] + [END]
    cells = np.full((wide * tall, 2, SLOTS), IGNORE, dtype=np.int16)
    cells[:, :, PREV] = 0
    used = np.zeros(wide * tall, dtype=np.int8)
    last, slot, k = None, 0, 0  # the run of characters being filled: (line, cell)
    for i, (_, run, j) in enumerate(md):
        if run < 0:
            continue
        cell, _, line = places[run][j]
        if (line, cell) != last:
            if used[cell] >= 2:
                last = None
                continue
            k = used[cell]
            used[cell] += 1
            cells[cell, k] = 0
            cells[cell, k, :PREV] = ids[i : i + PREV]
            last, slot = (line, cell), 0
        if slot < INSIDE:
            cells[cell, k, PREV + slot] = ids[i + PREV]
            cells[cell, k, SLOTS - 1] = ids[i + PREV + 1]
            slot += 1
    where = np.full((len(say), 2), -1, dtype=np.int32)
    after = (-1, -1)
    for i in range(len(say) - 1, -1, -1):  # what the page does not show points to the next character it shows
        _, run, j = say[i]
        if run >= 0:
            after = places[run][j][:2]
        where[i] = after
    p.cells, p.where = cells, where


if __name__ == "__main__":
    import argparse

    a = argparse.ArgumentParser(description="Writes the held-out paragraphs, or examples of pages.")
    a.add_argument("-heldout", help="file to write the held-out paragraphs to")
    a.add_argument("-examples", help="folder to write training pages to")
    o = a.parse_args()
    if o.heldout:
        open(o.heldout, "w").write("\n\n".join(Corpus(True).prose))
    if o.examples:
        c, r = Corpus(), random.Random(1)
        for i in range(12):
            p = page(r, c, 640, 512, Kind(kinds=ALL, size=(14, 26), columns=0.4, html=0.2, latin=0.3))
            Image.fromarray(p.image.astype("uint8")).save(f"{o.examples}/{i}.png")
            open(f"{o.examples}/{i}.txt", "w").write(p.text)
