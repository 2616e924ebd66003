"""Writes clean_python.json: what Python OmniDocs' cleaning gives on ordinary answers, and on those that it harms.

    python3 make_clean.py > clean_python.json

The expressions are those of omnidocs/tasks/text_extraction/qwen/extractor.py at v0.2.9, as a specification of what it does.
"""
import json
import random
import re


def content(raw, fmt):
    if fmt == "html":
        return re.sub(r"\s+>", ">", re.sub(r'\s*data-bbox="[^"]*"', "", raw))
    return re.sub(r"<!--\s*(Table|Image)\s*\([^)]+\)\s*-->\n?", "", raw)


def plain(raw, fmt):
    if fmt == "html":
        text = re.sub(r"<[^>]+>", " ", raw)
    else:
        text = raw
        for expression in (r"```[^`]*```", r"<!--[^>]+-->", r"\|[-:]+\|", r"[#*_`]"):
            text = re.sub(expression, "", text)
    return re.sub(r"\s+", " ", text).strip()


def row(name, fmt, raw):
    text = plain(raw, fmt)
    clean = content(raw, fmt)
    return {"name": name, "format": fmt, "raw": raw, "content": clean, "plain_text": text,
            "content_length": len(clean), "word_count": len((text or clean).split())}


# Answers that Python's cleaning does not harm: ours must give the same.
ORDINARY = [
    ("empty", "markdown", ""), ("empty", "html", ""), ("spaces", "markdown", " \n\t "), ("spaces", "html", " \n\t "),
    ("heading", "markdown", "# Title\n\nSome *text* with **bold** and ***both***.\n"),
    ("headings", "markdown", "# One\n## Two\n### Three ###\n#### Four\n\nText"),
    ("bullets", "markdown", "* one\n* two\n  * two and a half\n- three\n+ four\n1. five\n2) six\n"),
    ("underscore emphasis", "markdown", "An _emphasized_ word and a __strong__ one."),
    ("emphasis over lines", "markdown", "This is *emphasized\nover two lines* of a paragraph."),
    ("nested emphasis", "markdown", "**bold with *italic* inside** and *italic with **bold** inside*"),
    ("code span", "markdown", "Call `Extract(ctx)` and `Close()`."),
    ("inline fence", "markdown", "before ```x = 1``` after"),
    ("fence", "markdown", "Text\n\n```python\nx = [1]\nprint(x)\n```\n\nMore text\n"),
    ("two fences", "markdown", "A\n```\nb\n```\nC\n```go\nd()\n```\nE"),
    ("indented fence", "markdown", "- item\n  ```\n  code\n  ```\n- item"),
    ("break of stars", "markdown", "above\n\n***\n\nbelow\n\n* * *\n\nend"),
    ("break of underscores", "markdown", "above\n\n___\n\nbelow"),
    ("break of dashes", "markdown", "above\n\n---\n\nbelow"),
    ("quote", "markdown", "> quoted *text*\n> goes on\n\n>tight"),
    ("image place", "markdown", "Before\n\n<!-- Image (10, 20, 300, 400) -->\n\nAfter"),
    ("table place", "markdown", "<!-- Table (1, 2, 3, 4) -->\n\\begin{tabular}{|l|r|}\na & b \\\\\n\\hline\n\\end{tabular}\n"),
    ("place in a line", "markdown", "a<!--Image(1,2,3,4)-->b <!--  Table  ( 5 )  -->\nc"),
    ("place with no-break spaces", "markdown", "a\n<!--\u00a0Table\u3000(1, 2, 3, 4)\u2003-->\nb"),
    ("place in parentheses", "markdown", "(<!-- Image (1, 2, 3, 4) -->)"),
    ("place without numbers", "markdown", "<!-- Image () -->\nkept in the content"),
    ("other comment", "markdown", "a <!-- page 3 --> b"),
    ("only a place", "markdown", "<!-- Image (0, 0, 999, 999) -->\n"),
    ("fill-in line", "markdown", "Name: ________ Date: ____\n\nSigned: _______________"),
    ("link and image", "markdown", "See [the site](https://example.org/a-b) and ![a chart](chart.png)."),
    ("math", "markdown", "The area is $\\pi r^2$ and $$E = mc^2$$."),
    ("table without a rule", "markdown", "| Name | Value |\n| a | 1 |\n| b | 2 |"),
    ("table with emphasis", "markdown", "| **Name** | *Value* |\n| `a` | __1__ |"),
    ("html in markdown", "markdown", "Line<br>break and H<sub>2</sub>O"),
    ("unicode space", "markdown", "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u1680g\u0085h\u000bi\u000cj\u001ck\u001dl\u001em\u001fn"),
    ("not a space", "markdown", "a\u200bb\u180ec\u2060d\ufeffe"),
    ("chinese", "markdown", "# 标题\n\n这是**粗体**文字，这是*斜体*。\n\n1. 第一\n2. 第二"),
    ("chinese with punctuation", "markdown", "**注意：**请先阅读。**重要！**完成"),
    ("accents", "markdown", "Ça coûte 12,50 € – *déjà vu* – naïve Ångström 日本語 العربية"),
    ("emoji", "markdown", "Done 👍🏽 **now** 🎉"),
    ("carriage returns", "markdown", "# Title\r\n\r\nText *a*\r\nb\r\n"),
    ("dollars", "markdown", "from $5 *up* to $10 or \\$ *or* $ 3 _each_\n\nUS$: *more* in US$"),
    ("setext", "markdown", "Title\n=====\n\ntext"),
    ("paragraph", "html", '<p data-bbox="1 2 3 4">Hello</p>'),
    ("more attributes", "html", '<p class="a" data-bbox="1 2 3 4" id="b">Hello <b>world</b></p>'),
    ("bbox last", "html", '<p class="a" data-bbox="1 2 3 4" >Hello</p >'),
    ("bbox over lines", "html", '<div\n  data-bbox="1 2 3 4"\n  class="x"\n>\ntext\n</div\n>'),
    ("void tags", "html", 'a<br/>b<br />c<hr data-bbox="1 2 3 4"/>d<img src="x.png" data-bbox="1 2 3 4" />e'),
    ("no space before bbox", "html", '<img alt="x"data-bbox="1 2 3 4">'),
    ("two boxes", "html", '<td data-bbox="1 2 3 4"  data-bbox="5 6 7 8">x</td>'),
    ("empty bbox", "html", '<td data-bbox="">x</td>'),
    ("polygon kept", "html", '<p data-polygon="1 2 3 4 5 6" data-bbox="1 2 3 4">x</p>'),
    ("document", "html", '<!DOCTYPE html>\n<html><body>\n<h1 data-bbox="1 2 3 4">T</h1>\n<ul><li data-bbox="1 2 3 4">a</li></ul>\n</body></html>'),
    ("table", "html", '<table data-bbox="1 2 3 4"><tr><th colspan="2">A</th></tr><tr><td>1</td><td>2</td></tr></table>'),
    ("unquoted attribute", "html", "<td rowspan=2 align=left>x</td><td nowrap>y</td>"),
    ("apostrophes", "html", "<p class='a b'>it's</p>"),
    ("comment", "html", "a<!-- note -->b<!-- --- -->c"),
    ("inline tags", "html", "H<sub>2</sub>O and x<sup>2</sup>"),
    ("unicode space", "html", "<p>a\u00a0b\u2003c\u3000d\u2028e\u001ff</p>"),
    ("space in a tag", "html", '<p\u00a0data-bbox="1 2 3 4"\u3000>x</p>'),
    ("chinese", "html", '<p data-bbox="1 2 3 4">价格：《书》</p>'),
    ("formula", "html", '<div class="formula" data-bbox="1 2 3 4"><p>$x_1 + y^{2}$</p></div>'),
]

# Answers that Python's cleaning harms. What ours gives is in clean_test.go.
DEFECTS = [
    ("space before > in text", "html", "<p>B > C and 5  > 4</p>"),
    ("lone less-than", "html", "<p>a < b</p>"),
    ("comparison in text", "html", "<p>if a < b and c > d</p>"),
    ("comparison without spaces", "html", "<p>x<y and z>w</p>"),
    ("bbox in text", "html", '<p>write data-bbox="1 2 3 4" here</p>'),
    ("bbox in single quotes", "html", "<p data-bbox='1 2 3 4'>x</p>"),
    ("bbox without quotes", "html", "<p data-bbox=12>x</p>"),
    ("bbox in capitals", "html", '<P DATA-BBOX="1 2 3 4">x</P>'),
    ("bbox in another name", "html", '<p my-data-bbox="1">x</p>'),
    ("bbox without its end quote", "html", '<p data-bbox="1 2 3 4>lost</p><p data-bbox="5 6 7 8">kept</p>'),
    ("greater in an attribute", "html", '<img alt="a > b" src="c.png">text'),
    ("greater in a comment", "html", "a<!-- x > y -->b"),
    ("space in a comment", "html", "<!-- x  > y --><p>b</p>"),
    ("entities", "html", "<p>AT&amp;T &lt;tag&gt; caf&eacute;&nbsp;&#8364;&#x20AC; &unknown; &copy=2</p>"),
    ("fence", "html", '```html\n<p data-bbox="1 2 3 4">x</p>\n```'),
    ("fence without a label", "html", "```\n<p>x</p>\n```\n"),
    ("fence left open", "html", "```html\n<p>x</p>\n<p>y"),
    ("tag cut at the end", "html", '<p>x</p>\n<p class="a" data-bbox="12 34'),
    ("tag name cut at the end", "html", "<p>x</p><di"),
    ("end tag cut at the end", "html", "<p>x</"),
    ("snake case", "markdown", "The field max_new_tokens of _private_config"),
    ("stars in words", "markdown", "2*3*4 = 24 and 2 * 3 and a**b"),
    ("significance stars", "markdown", "| x | 0.34*** | 0.1* |\n\n\\* p < 0.05. Price* and \\*\\*\\*"),
    ("hashes", "markdown", "C# and F#, issue #12, #hashtag\n\n| # | Name |"),
    ("escapes", "markdown", "2 \\* 3, a\\_b, \\# no heading, \\`tick\\`"),
    ("lone backtick", "markdown", "5` long"),
    ("underscores in code", "markdown", "`snake_case` and `a*b` and ``a ` b``"),
    ("rule row", "markdown", "| A | B |\n|---|---|\n| 1 | 2 |"),
    ("rule row with spaces", "markdown", "| A | B |\n| --- | --- |\n| 1 | 2 |"),
    ("rule row with colons", "markdown", "| A | B | C |\n|:--|:-:|--:|\n| 1 | 2 | 3 |"),
    ("rule row without outer bars", "markdown", "A | B\n--- | ---\n1 | 2"),
    ("rule row of single dashes", "markdown", "|A|B|\n|-|-|\n|-|-|"),
    ("rule row alone", "markdown", "| :---: | ---: |\n| 1 | 2 |"),
    ("entities", "markdown", "AT&amp;T, a &lt; b, `&amp;`, ?a=1&copy=2"),
    ("fence with a backtick", "markdown", "```\na `b`\n```\nhonest text\n```\nc\n```\nend"),
    ("fence around all", "markdown", "```markdown\n# Title\n\ntext\n\n```go\nx()\n```\n\nend\n```"),
    ("fence around all, left open", "markdown", "```md\n# Title\n\ntext"),
    ("fence left open", "markdown", "text\n```python\nx = 1"),
    ("comment with greater", "markdown", "a <!-- x > y --> b"),
    ("place cut at the end", "markdown", "text\n\n<!-- Table (12, 3"),
    ("place's word cut at the end", "markdown", "text\n\n<!-- Im"),
    ("place cut before its end", "markdown", "text\n\n<!-- Image (1, 2, 3, 4) -"),
    ("math indices", "markdown", "$x_{i} + a_1 b_2$"),
    ("stars in math", "markdown", "$$\\int f_i * g^{*}(x)$$ and $\\mathbf{x}_{*}$, *not* here"),
]

WORDS = """the of invoice total amount page number 12 3.50 10% Figure Table (see) "quoted" Müller 合计 année don't e.g. 2024-01-31 A/B
x+y=z $5 €7 [1] ; : ok? yes! 北京 Привет مرحبا ½ µm""".split()


def words(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def box(rng):
    return " ".join(str(rng.randint(0, 1000)) for _ in range(4))


def inline(rng):
    parts = []
    for _ in range(rng.randint(1, 4)):
        mark = rng.choice(["", "", "", "*", "**", "***", "_", "__", "`"])
        parts.append(mark + words(rng, 1, 4) + mark)
    return " ".join(parts)


def markdown_block(rng):
    kind = rng.randint(0, 8)
    if kind == 0:
        return "#" * rng.randint(1, 6) + " " + inline(rng)
    if kind == 1:
        bullet = rng.choice(["* ", "- ", "+ ", "1. "])
        return "\n".join(" " * rng.choice([0, 0, 2]) + bullet + inline(rng) for _ in range(rng.randint(1, 4)))
    if kind == 2:
        return "<!-- " + rng.choice(["Table", "Image"]) + " (" + box(rng).replace(" ", ", ") + ") -->"
    if kind == 3:
        return "```" + rng.choice(["", "python", "text"]) + "\n" + words(rng, 2, 6) + "\n" + words(rng, 2, 6) + "\n```"
    if kind == 4:
        return "> " + inline(rng)
    if kind == 5:
        columns = rng.randint(1, 4)
        return "\n".join("| " + " | ".join(inline(rng) for _ in range(columns)) + " |" for _ in range(rng.randint(1, 3)))
    if kind == 6:
        return "<!-- Table (" + box(rng).replace(" ", ", ") + ") -->\n\\begin{tabular}{ll}\n" + \
            words(rng, 1, 3) + " & " + words(rng, 1, 3) + " \\\\\n\\end{tabular}"
    return "\n".join(inline(rng) for _ in range(rng.randint(1, 3)))


def html_block(rng, depth=0):
    tag = rng.choice(["p", "div", "h1", "h2", "li", "td", "span", "table", "formula-x"])
    attributes = [f'data-bbox="{box(rng)}"']
    if rng.random() < 0.4:
        attributes.append(f'class="{words(rng, 1, 2).replace(chr(34), "")}"')
    if rng.random() < 0.2:
        attributes.append("rowspan=" + str(rng.randint(1, 4)))
    rng.shuffle(attributes)
    gap = rng.choice([" ", " ", "  ", "\n  "])
    body = words(rng, 0, 6)
    if depth < 2:
        for _ in range(rng.randint(0, 2)):
            body += rng.choice(["", "\n"]) + html_block(rng, depth + 1)
    return f"<{tag}{gap}{gap.join(attributes)}{rng.choice(['', '', ' '])}>{body}</{tag}>" + rng.choice(["", "<br/>", "<hr />"])


def main():
    rng = random.Random(20260319)
    rows = [row("ordinary/" + name, fmt, raw) for name, fmt, raw in ORDINARY]
    rows += [row("defect/" + name, fmt, raw) for name, fmt, raw in DEFECTS]
    for i in range(150):
        raw = rng.choice(["\n\n", "\n\n", "\n\n\n"]).join(markdown_block(rng) for _ in range(rng.randint(1, 6)))
        rows.append(row(f"generated/{i}", "markdown", raw))
        raw = rng.choice(["", "\n"]).join(html_block(rng) for _ in range(rng.randint(1, 3)))
        rows.append(row(f"generated/{i}", "html", raw))
    print("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]")


main()
