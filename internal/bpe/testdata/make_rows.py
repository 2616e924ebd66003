#!/usr/bin/env python3
"""Writes the test rows of package bpe, computed by tokenizers 0.23.3 (Python).

    python3 make_rows.py TOKENIZER.JSON     # that of any Qwen3 model

    qwen3/merges.txt.gz, qwen3/rest.json   the tokenizer in 0.7 MB: its vocabulary is the 256 bytes, then the merges in order
    FOLDER/rows.json                       text -> ids and ids -> text; "times" repeats the text, long ids are given by count and SHA-256
    qwen35/rows.json                       the same tokenizer with Qwen3.5's regular expression
"""
import gzip, hashlib, json, os, random, sys, unicodedata
from tokenizers import AddedToken, Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
QWEN35 = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
rng = random.Random(1)

MARKDOWN = """# Annual report 2025

The company's revenue grew by 12.5 % to **€1,234.56 million**; we're told that it'll grow further.  See [the notes](notes.md#n1).

| Region | Q1 | Q2 |
|:-------|---:|---:|
| North  | 1  | 22 |

1. First item
   - nested, with `code` and $E = mc^2$
2. Second item\r\n\r\n```go\nfunc main() {\n\tfmt.Println("hi")\n}\n```
"""
FIXED = [
    "", " ", "  ", "   x", "x   ", "a    b", "\t\t  a", "\n \n  \n", " \r\n \r\n x", "  \n  y  ", "a\u00a0 b", "\u3000\u3000全角", "\u2028x\u2029 y", "\u0085 \u0085",
    "I'm you're he'S WE'VE they'LL I'D don't", "'s 't 'x ''s", "it'\u017fa '\u017f", "'", "x'", "'r", "'re", "'l", "'ll's",
    "1234567890", "\u0661\u0662\u0663 \u2167 \u00bd\u00b2", "e\u0301", "\u0065\u0323\u0302", "\u212b \u2126 K\u212a", "\u1100\u1161\u11a8 \uac00\u11a8", "\ufb01 \u0344", "a" + "\u0316\u0301" * 40 + "b",
    "\u0301a", " \u0301a", "x\u0301\u0302y", "\u0915\u094d\u0937\u093f", " \u0915\u093c", "\u0e01\u0e33\u0e19", "\u05d0\u05b7\u05d1",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\U0002ebf0\U00013460\u1c89\u0897 \U0001ccf0", "\U00020000x\U000e0100", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f3f3\ufe0f\u200d\U0001f308",
    "<|im_start|>user\n<|vision_start|><|image_pad|><|image_pad|><|vision_end|>\u00e9e\u0301<|im_end|>", "<|im_start|<|im_end|>>", "<think>\n\n</think>\n", "<|endoftext|><|endoftext|>", "<|image_pad|", " <|im_end|> ",
    "!!!\n\n??", "!\r\r\nx", "...\n x", "a\n\n b", "##\n", "-----\n\n\n", " !a", " \u00bfqu\u00e9?", "\x00\x01\x1f \x7f", "\ufeffbom", "\ufffd\ufffe", MARKDOWN, MARKDOWN * 3,
]
LONG = [("a", 20000), ("ab", 10000), ("lowerUPPER", 2000), (" ", 20000), ("=", 20000), ("\u4f60\u597d", 10000), ("\u0301", 3000), ("1", 5000), ("\n", 9000), ("\u00e9", 10000), (MARKDOWN, 60)]
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz ABCDEF", "aeiouthnrs   \n", " \t\r\n\u00a0\u3000ab1!", "'strevmldSTREVMLD\u017f ", "0123456789.,- ", "\u4e00\u4e8c\u4e09\u3002\uff0ca ",
    "a\u0301\u0316\u0323\u0302\u0345e \u093f\u094d\u0e33", "\u1100\u1161\u11a8\uac00\uac01", "<|im_start|>end", "()[]{}<>/\\|@#$%^&*-_=+~`\n ab", "\u00e9\u00fc\u00f1\u00df\u00f8\u0436\u044f\u03bb\u03a9 ",
]


def texts(alphabets):
    out = list(FIXED)
    for al in alphabets:
        for _ in range(8):
            out.append("".join(rng.choice(al) for _ in range(rng.randint(1, 80))))
    for _ in range(40):  # any character
        out.append("".join(chr(c) for c in (rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0x20, 0x20000), rng.randrange(0x20, 0x110000)]) for _ in range(30)) if not 0xD800 <= c < 0xE000))
    for _ in range(40):  # characters that normalization moves
        out.append("".join(chr(rng.choice(MOVED)) + rng.choice(["", "\u0301", "\u0323", " "]) for _ in range(20)))
    return out


MOVED = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (unicodedata.combining(chr(c)) or unicodedata.decomposition(chr(c)))]


def row(tok, text, times=1):
    ids = tok.encode(text * times, add_special_tokens=False).ids
    r = {"text": text}
    if times > 1:
        r["times"] = times
    if len(ids) <= 600:
        return r | {"ids": ids}
    return r | {"count": len(ids), "sha256": hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()}


def decodes(tok):
    out = []
    added = sorted(tok.get_added_tokens_decoder())
    n = tok.get_vocab_size()
    for i in range(80):  # single bytes, so mostly not UTF-8
        pool = range(256) if i % 2 else [tok.token_to_id(c) for c in "\u00e2\u0124\u00ac\u00f0\u0141\u013a\u0122\u00ed\u0142\u0143\u00f4\u00c3\u00a9a\u0120\u00ff\u00e0"]
        out.append([rng.choice(pool) for _ in range(rng.randint(1, 30))])
    for _ in range(20):
        out.append([rng.choice([rng.randrange(n), rng.choice(added), rng.randrange(256), n + rng.randrange(9)]) for _ in range(12)])
    return [{"ids": ids, "text": tok.decode(ids, skip_special_tokens=False), "skipped": tok.decode(ids, skip_special_tokens=True)} for ids in out]


def write(folder, tok, alphabets):
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    rows = {"encode": [row(tok, t) for t in texts(alphabets)] + [row(tok, t, n) for t, n in LONG], "decode": decodes(tok)}
    with open(os.path.join(HERE, folder, "rows.json"), "w") as f:
        f.write("{\n" + ",\n".join(f'"{k}": [\n' + ",\n".join(json.dumps(r, ensure_ascii=True) for r in v) + "\n]" for k, v in rows.items()) + "\n}\n")


path = sys.argv[1]
spec = json.load(open(path))
merges = spec["model"]["merges"]
with open(os.path.join(HERE, "qwen3", "merges.txt.gz"), "wb") as f:
    f.write(gzip.compress("".join(f"{a} {b}\n" for a, b in merges).encode(), 9, mtime=0))
json.dump(spec | {"model": {k: v for k, v in spec["model"].items() if k not in ("vocab", "merges")}}, open(os.path.join(HERE, "qwen3", "rest.json"), "w"), indent=1)
write("qwen3", Tokenizer.from_file(path), ALPHABETS)
spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN35
write("qwen35", Tokenizer.from_str(json.dumps(spec)), ALPHABETS)
for small in ("golden", "bytes"):
    write(small, Tokenizer.from_file(os.path.join(HERE, small, "tokenizer.json")), ALPHABETS[:4])
