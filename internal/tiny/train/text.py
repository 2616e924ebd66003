"""What the pages say: prose from documents of the machine, words, and strings made by program. No download."""
import glob
import os
import re
import zlib

QUOTES = "’‘“”–—•…"
LATIN = [chr(c) for c in range(0xA1, 0x100) if c != 0xAD]
CHARS = [chr(c) for c in range(32, 127)] + ["\n"] + LATIN + list(QUOTES)
CLASS = {c: i + 1 for i, c in enumerate(CHARS)}  # 0: nothing
END = len(CHARS) + 1
CLASSES = END + 1
WORDS = os.environ.get("WORDS", "/usr/share/dict/words")
ACCENTS = {"a": "àáâãäåæ", "c": "ç", "e": "èéêë", "i": "ìíîï", "n": "ñ", "o": "òóôõöø", "u": "ùúûü", "y": "ýÿ", "s": "ß",
           "A": "ÀÁÂÃÄÅÆ", "C": "Ç", "E": "ÈÉÊË", "I": "ÌÍÎÏ", "N": "Ñ", "O": "ÒÓÔÕÖØ", "U": "ÙÚÛÜ", "D": "Ð"}


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
        self.words = [w.strip() for w in open(WORDS) if w.strip().isascii()]

    def word(self, r):
        return re.sub(r"\W", "", r.choice(self.words))

    def item(self, r):
        """A number, date, price, code, address or random string."""
        k = r.randrange(11)
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
            w = lambda: self.word(r).lower()[:7]
            return f"{w()}@{w()}.{r.choice(['com', 'org', 'net', 'eu'])}"
        if k == 8:
            return f"{r.randrange(1, 32)}/{r.randrange(1, 13)}/{r.randrange(1980, 2030)}"
        if k == 9:
            return f"+{r.randrange(1, 99)} {r.randrange(100, 999)} {r.randrange(1000, 99999)}".replace(" ", r.choice("-/."))
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


class Few(Corpus):
    """A handful of words in any order: the same few letters come again and again, so only the place tells what is next."""

    def __init__(self, r, corpus):
        self.words, self.prose = corpus.words, corpus.prose
        self.pool = [w for _ in range(4) for w in corpus.take(r, r.randrange(1, 5))]

    def take(self, r, n, prose=0.7):
        return [r.choice(self.pool) for _ in range(n)]


class Accented(Corpus):
    """The words of another corpus, with letters of Latin-1 and typographic quotes and dashes in their places."""

    def __init__(self, r, corpus):
        self.words, self.prose, self.inner = corpus.words, corpus.prose, corpus
        self.rate = r.choice([0.01, 0.05, 0.2])

    def take(self, r, n, prose=0.7):
        return [self.dress(r, w) for w in self.inner.take(r, n, prose)]

    def dress(self, r, w):
        w = w.replace("'", "’")
        if w.startswith('"'):
            w = "“" + w[1:]
        w = w.replace('"', "”").replace("--", "–")
        if r.random() < 0.03:
            w = r.choice(["–", "—", w + "…", "§" + str(r.randrange(1, 99)), str(r.randrange(90)) + "°", "«" + w + "»", "±" + str(r.randrange(9)), "£" + str(r.randrange(99)), "¿" + w + "?", "©", "½", "µm", "×"])
        return "".join(r.choice(ACCENTS[c]) if c in ACCENTS and r.random() < self.rate else c for c in w)
