"""Sets random blocks on a page, and writes them as Markdown or HTML.

A run is one word on the page: (text, x, baseline, face, text as drawn), all in pixels. What a block holds is the indices of its
runs. The two writers give a list of (character, run, index in the run), with run -1 where the page shows nothing.
"""
from dataclasses import dataclass, field

from fonts import FAMILIES, GO_MONO, MONO, face

ASC, DESC = 0.945, 0.211  # of a line, in em: Go Mono's, near enough for all


@dataclass
class Style:
    """What a page is set in; all lengths in pixels."""

    family: str
    mono: str  # the family of code
    size: float
    lead: float  # distance of two baselines, in size
    gap: float  # between two blocks, in lines
    big: float  # size of a first heading, in size
    bullet: str
    hang: float  # indent of a list, in size
    justify: bool
    rules: str  # of tables: "grid", "lines", "head"
    ligatures: bool
    scale: int  # the drawing is so much larger than the page; letters are measured as they are drawn


@dataclass
class Block:
    kind: str  # p h1 h2 h3 ul ol table code image
    content: list = field(default_factory=list)
    box: list = None  # x0, y0, x1, y1


class Setter:
    def __init__(self, r, corpus, style, w, h, prose=0.7):
        self.r, self.corpus, self.s, self.w, self.h, self.prose = r, corpus, style, w, h, prose
        self.runs, self.blocks = [], []
        self.marks = []  # ("line" | "shade" | "frame" | "picture", x0, y0, x1, y1)
        self.y = 0.0

    def face(self, style=0, size=None, family=None):
        return face(family or self.s.family, style, round((size or self.s.size) * self.s.scale * 2) / 2)

    def width(self, text, f):
        return f.width(text) / self.s.scale

    def put(self, text, x, base, f):
        shown = text
        if self.s.ligatures:
            shown = text.replace("fi", "\ufb01").replace("fl", "\ufb02")
        self.runs.append((text, x, base, f, shown))
        return len(self.runs) - 1

    def room(self, lines=1, pitch=None, size=None):
        pitch, size = pitch or self.s.size * self.s.lead, size or self.s.size
        return self.y + (lines - 1) * pitch + (ASC + DESC) * size * 0.97 <= self.bottom

    def text(self, words, x0, x1, f, size=None, odd=None, most=99):
        """Flows words between x0 and x1; returns the runs. odd: the face of a few words. Words that are longer than a line are cut."""
        size = size or self.s.size
        pitch = size * self.s.lead
        space = self.width(" ", f)
        lines, cur, x = [], [], x0
        for t in words:
            g = odd if odd and self.r.random() < 0.12 else f
            n = self.width(t, g)
            while n > x1 - x0 and len(t) > 1:
                t = t[:-1]
                n = self.width(t, g)
            if cur and x + n > x1:
                lines.append(cur)
                cur, x = [], x0
            cur.append((t, x, g, n))
            x += n + space
        if cur:
            lines.append(cur)
        out = []
        for k, line in enumerate(lines[:most]):
            if not self.room(1, pitch, size):
                break
            base, extra = self.y + ASC * size, 0.0
            if self.s.justify and k + 1 < len(lines) and len(line) > 2:
                extra = min(2 * space, (x1 - line[-1][1] - line[-1][3]) / (len(line) - 1))
            out += [self.put(t, x + i * extra, base, g) for i, (t, x, g, _) in enumerate(line)]
            self.y += pitch
        return out

    def add(self, kind, content, x0, y0, x1):
        self.blocks.append(Block(kind, content, [x0, y0, x1, self.y]))

    # Blocks. Each returns False, having set nothing, where there is no room for it.

    def heading(self, x0, x1):
        r = self.r
        kind = r.choice(("h1", "h2", "h3") if "h3" in self.kinds else ("h1", "h2"))
        size = self.s.size * (self.s.big if kind == "h1" else 1.0)
        if not self.room(1, size * self.s.lead, size):
            return False
        y = self.y
        got = self.text(self.corpus.take(r, r.randrange(1, 7), self.prose), x0, x1, self.face(3 if kind == "h3" else 1, size), size, most=2)
        self.add(kind, got, x0, y, x1)
        self.y += self.s.size * self.s.lead * self.s.gap * r.uniform(0.7, 1.0)
        return True

    def paragraph(self, x0, x1):
        r = self.r
        if not self.room():
            return False
        y, style = self.y, 2 if "italic" in self.kinds and r.random() < 0.08 else 0
        odd = self.face(r.choice((1, 2))) if "italic" in self.kinds and r.random() < 0.15 else None
        got = self.text(self.corpus.take(r, r.randrange(1, self.longest), self.prose), x0, x1, self.face(style), odd=odd)
        self.add("p", got, x0, y, x1)
        self.y += self.s.size * self.s.lead * self.s.gap
        return True

    def list(self, x0, x1):
        r = self.r
        numbered = "ol" in self.kinds and r.random() < 0.5
        if not self.room(2):
            return False
        y, f, items, n = self.y, self.face(), [], r.choice((1, 1, 1, r.randrange(1, 30)))
        for i in range(r.randrange(2, 6)):
            mark = f"{n + i}." if numbered else self.s.bullet
            indent = max(self.s.hang * self.s.size, self.width(mark + " ", f))
            if x1 - x0 < 3 * indent or not self.room():
                break
            m = self.put(mark, x0, self.y + ASC * self.s.size, f)
            got = self.text(self.corpus.take(r, r.randrange(1, 9), self.prose), x0 + indent, x1, f)
            items.append((m, got))
        if not items:
            return False
        self.add("ol" if numbered else "ul", items, x0, y, x1)
        self.y += self.s.size * self.s.lead * self.s.gap
        return True

    def form(self, x0, x1):
        """A label, dots to the right, a value; or a label and a line to write on."""
        r, f = self.r, self.face()
        dot = self.width(".", f)
        for _ in range(r.randrange(1, 5)):
            if not self.room():
                break
            y, base = self.y, self.y + ASC * self.s.size
            left = [w[:12] for w in self.corpus.take(r, r.randrange(1, 4), self.prose)]
            right = r.choice((str(r.randrange(1, 400)), self.corpus.item(r)))
            x, got = x0, []
            for t in left:
                got.append((t, x))
                x += self.width(t + " ", f)
            end = x1 - self.width(right, f)
            n = int((end - x) / dot) - 2
            if n < 4:
                continue
            content = [self.put(t, at, base, f) for t, at in got]
            content += [("...", self.put("." * n, x, base, f)), self.put(right, end, base, f)]
            self.y += self.s.size * self.s.lead
            self.add("p", content, x0, y, x1)
            self.y += self.s.size * self.s.lead * self.s.gap * r.choice((0.5, 1))
        return True

    def code(self, x0, x1):
        r, f = self.r, self.face(0, self.s.size, self.s.mono)
        cols = int((x1 - x0 - self.s.size) / self.width("m", f))
        if cols < 12 or not self.room(2):
            return False
        y, lines, indent, space = self.y, [], 0, self.width(" ", f)
        self.y += self.s.size * 0.4
        for _ in range(r.randrange(2, 7)):
            if not self.room(2):
                break
            words, room = [], cols - 4 * indent
            for t in code_line(r, self.corpus):
                if room < len(t):
                    break
                words.append(t)
                room -= len(t) + 1
            if not words:
                indent = 0
                continue
            x, got = x0 + 0.5 * self.s.size + 4 * indent * space, []
            for t in words:
                got.append(self.put(t, x, self.y + ASC * self.s.size, f))
                x += self.width(t, f) + space
            lines.append((4 * indent, got))
            indent = min(3, indent + 1) if words[-1][-1] in "{:(" else max(0, indent - r.randrange(2))
            self.y += self.s.size * self.s.lead
        self.y += self.s.size * 0.3
        if not lines:
            self.y = y
            return False
        self.marks.append((r.choice(("shade", "frame")), x0, y, x1, self.y))
        self.add("code", lines, x0, y, x1)
        self.y += self.s.size * self.s.lead * self.s.gap
        return True

    def table(self, x0, x1):
        r = self.r
        rows, cols = r.randrange(2, 6), r.randrange(2, 5)
        pitch = self.s.size * (self.s.lead + 0.2)
        while rows and not self.room(rows, pitch):
            rows -= 1
        if rows < 2:
            return False
        numeric = [r.random() < 0.4 for _ in range(cols)]
        said = [[([self.corpus.item(r)] if numeric[j] and i else self.corpus.take(r, r.randrange(1, 3), self.prose)) for j in range(cols)] for i in range(rows)]
        said = [[[t[:14] for t in c] for c in row] for row in said]
        faces = [self.face(1 if i == 0 and self.s.rules != "grid" or i == 0 and r.random() < 0.5 else 0) for i in range(rows)]
        pad = self.s.size * 0.5
        wide = [max(self.width(" ".join(said[i][j]), faces[i]) for i in range(rows)) + 2 * pad for j in range(cols)]
        while len(wide) > 1 and sum(wide) > x1 - x0:
            wide.pop()
        cols = len(wide)
        if cols < 2 or sum(wide) > x1 - x0:
            return False
        if r.random() < 0.5:  # as wide as the text
            wide = [n + (x1 - x0 - sum(wide)) / cols for n in wide]
        y, out = self.y, []
        at = [x0 + sum(wide[:j]) for j in range(cols + 1)]
        for i in range(rows):
            row = []
            for j in range(cols):
                n = self.width(" ".join(said[i][j]), faces[i])
                x, cell = at[j + 1] - pad - n if numeric[j] else at[j] + pad, []
                for t in said[i][j]:
                    cell.append(self.put(t, x, self.y + 0.1 * self.s.size + ASC * self.s.size, faces[i]))
                    x += self.width(t + " ", faces[i])
                row.append(cell)
            out.append(row)
            self.y += pitch
        heights = {"grid": range(rows + 1), "lines": range(rows + 1), "head": (0, 1, rows)}[self.s.rules]
        for i in heights:
            self.marks.append(("line", x0, y + i * pitch, at[-1], y + i * pitch))
        if self.s.rules == "grid":
            for x in at:
                self.marks.append(("line", x, y, x, self.y))
        self.add("table", out, x0, y, at[-1])
        self.y += self.s.size * self.s.lead * self.s.gap
        return True

    def picture(self, x0, x1):
        r = self.r
        wide, tall = r.uniform(0.3, 1) * (x1 - x0), r.uniform(2, 5) * self.s.size
        if self.y + tall > self.bottom:
            return False
        y, x = self.y, x0 + r.uniform(0, x1 - x0 - wide)
        self.y += tall
        self.marks.append(("picture", x, y, x + wide, self.y))
        self.add("image", [], x, y, x + wide)
        self.y += self.s.size * self.s.lead * self.s.gap
        return True

    def line_of(self, words, x0, x1, y, place):
        """A line for itself (a page's number or running head); place 0 left, 0.5 middle, 1 right."""
        f = self.face()
        n = self.width(" ".join(words), f)
        if n > x1 - x0:
            return
        self.y, x = y, x0 + (x1 - x0 - n) * place
        self.add("p", self.text(words, x, x1 + 9, f), x, y, x + n)

    def fill(self, kinds, x0, x1, y0, bottom, longest, headings):
        """Sets blocks until the column is full. kinds: which there may be."""
        self.y, self.bottom, self.kinds, self.longest = y0, bottom, kinds, longest
        r, first = self.r, True
        tall = bottom - y0 >= 80
        extra = [k for k in ("form", "code", "table", "image") if k in kinds]
        while True:
            k, done = r.random(), False
            if tall and k < (0.6 if first else 0.15) * headings:
                done = self.heading(x0, x1)
            elif tall and k > 0.8:
                done = self.list(x0, x1)
            elif tall and extra and k > 0.8 - 0.1 * len(extra):
                done = {"form": self.form, "code": self.code, "table": self.table, "image": self.picture}[r.choice(extra)](x0, x1)
            if not done and not self.paragraph(x0, x1):
                return
            first = False
            if r.random() < 0.05:
                return


def code_line(r, corpus):
    w = lambda: corpus.word(r).lower()[: r.randrange(2, 9)] or "x"
    k = r.randrange(8)
    if k == 0:
        return ["if", w(), r.choice(["==", "!=", "<", ">="]), r.choice([w(), str(r.randrange(100))]), "{"]
    if k == 1:
        return [w(), r.choice([":=", "=", "+="]), f"{w()}({w()},", f"{r.randrange(100)})"]
    if k == 2:
        return ["return", w() + r.choice(["", "[0]", ".x", "()"])]
    if k == 3:
        return [f"{w()}_{w()}", "=", f'"{w()}"']
    if k == 4:
        return ["for", w(), "in", f"{w()}:"]
    if k == 5:
        return ["$", w(), f"-{w()[0]}", f"--{w()}={r.randrange(99)}", f"{w()}/{w()}.{w()[:3]}"]
    if k == 6:
        return [r.choice(["#", "//"])] + corpus.take(r, 4)
    return [f"{w()}.{w()}({w()})" + r.choice(["", ";"])]


def box(b, w, h):
    x0, y0, x1, y1 = b.box
    t = lambda v, n: max(0, min(1000, round(v * 1000 / n)))
    return t(x0, w), t(y0, h), t(x1, w), t(y1, h)


class Writer:
    def __init__(self, runs):
        self.runs, self.out = runs, []

    def say(self, s):
        self.out += [(c, -1, 0) for c in s]

    def words(self, content, escape=False):
        for n, k in enumerate(content):
            if n:
                self.say(" ")
            if isinstance(k, tuple):  # a row of dots counts as three
                text, k = k
            else:
                text = self.runs[k][0]
            for i, c in enumerate(text):
                if escape and c in "&<>":
                    self.out.append(("&", k, i))
                    self.say({"&": "amp;", "<": "lt;", ">": "gt;"}[c])
                else:
                    self.out.append((c, k, i))


def markdown(runs, blocks, w, h, comments=True):
    o = Writer(runs)
    for n, b in enumerate(blocks):
        if n:
            o.say("\n\n")
        if b.kind in ("h1", "h2", "h3"):
            o.say("#" * int(b.kind[1]) + " ")
            o.words(b.content)
        elif b.kind == "ul":
            for i, (m, item) in enumerate(b.content):
                o.say("\n" if i else "")
                o.out.append(("-", m, 0))
                o.say(" ")
                o.words(item)
        elif b.kind == "ol":
            for i, (m, item) in enumerate(b.content):
                o.say("\n" if i else "")
                o.words([m] + item)
        elif b.kind == "table":
            if comments:
                o.say("<!-- Table (%d, %d, %d, %d) -->\n" % box(b, w, h))
            for i, row in enumerate(b.content):
                if i:
                    o.say("\n")
                if i == 1:
                    o.say("|" + " --- |" * len(row) + "\n")
                o.say("|")
                for cell in row:
                    o.say(" ")
                    o.words(cell)
                    o.say(" |")
        elif b.kind == "code":
            o.say("```")
            for indent, line in b.content:
                o.say("\n" + " " * indent)
                o.words(line)
            o.say("\n```")
        elif b.kind == "image":
            if comments:
                o.say("<!-- Image (%d, %d, %d, %d) -->" % box(b, w, h))
        else:
            o.words(b.content)
    return o.out


def html(runs, blocks, w, h):
    o = Writer(runs)
    o.say("<html><body>\n")
    for b in blocks:
        at = ' data-bbox="%d %d %d %d"' % box(b, w, h)
        if b.kind == "image":
            o.say(f"<img{at}/>\n")
            continue
        tag = "pre" if b.kind == "code" else b.kind
        o.say(f"<{tag}{at}>")
        if b.kind in ("ul", "ol"):
            for m, item in b.content:
                o.say("<li>")
                o.words(item, True)
                o.say("</li>")
        elif b.kind == "table":
            for i, row in enumerate(b.content):
                o.say("<tr>")
                for cell in row:
                    o.say("<td>" if i else "<th>")
                    o.words(cell, True)
                    o.say("</td>" if i else "</th>")
                o.say("</tr>")
        elif b.kind == "code":
            for i, (indent, line) in enumerate(b.content):
                o.say(("\n" if i else "") + " " * indent)
                o.words(line, True)
        else:
            o.words(b.content, True)
        o.say(f"</{tag}>\n")
    o.say("</body></html>")
    return o.out


def style(r, scale, old=False, family=None, size=(20, 30)):
    """old: what package tiny's DrawPage draws, that is Go Mono of 24 to 30 px."""
    family = family or (GO_MONO if old else r.choice(list(FAMILIES)))
    if old:
        dense = r.random() < 0.3  # small letters, two lines in one cell
        s, lead = r.randrange(94, 104 if dense else 123) / 4, r.uniform(1.14, 1.22 if dense or r.random() < 0.2 else 1.46)
    else:
        s, lead = r.uniform(*size), r.uniform(1.15, 1.45)
    return Style(
        family=family, mono=family if family in MONO else r.choice(sorted(MONO & set(FAMILIES))), size=round(s * 4) / 4, lead=lead,
        gap=r.uniform(0.5, 1.1), big=r.uniform(1.22, 1.36 if old else 1.7), bullet="-" if old else r.choice("-•–*"), hang=1.2,
        justify=not old and r.random() < 0.3, rules=r.choice(("grid", "lines", "head")),
        ligatures=not old and family not in MONO and family != "Libertine" and r.random() < 0.4, scale=scale)
