"""The font families: which the pages are set in, and which are kept for the evaluation only.

All are free and in Debian's packages named in README.md. FONTS may name more roots than /usr/share/fonts, with colons between.
"""
import functools
import os

from PIL import ImageFont

ROOTS = [p for p in os.environ.get("FONTS", "").split(":") if p] + ["/usr/share/fonts", "/usr/share/texmf/fonts"]


def _four(pattern, names=("Regular", "Bold", "Italic", "BoldItalic")):
    return [pattern.replace("*", n) for n in names]


_DEJAVU = ("", "-Bold", "-Oblique", "-BoldOblique")
_TEXGYRE = ("regular", "bold", "italic", "bolditalic")
GO_MONO = "Go Mono"
FAMILIES = {  # regular, bold, italic, bold italic
    GO_MONO: _four("fonts-go/Go-Mono*.ttf", ("", "-Bold", "-Italic", "-Bold-Italic")),
    "Go": _four("fonts-go/Go-*.ttf", ("Regular", "Bold", "Italic", "Bold-Italic")),
    "DejaVu Sans": _four("truetype/dejavu/DejaVuSans*.ttf", _DEJAVU),
    "DejaVu Sans Mono": _four("truetype/dejavu/DejaVuSansMono*.ttf", _DEJAVU),
    "DejaVu Serif": _four("truetype/dejavu/DejaVuSerif*.ttf", ("", "-Bold", "-Italic", "-BoldItalic")),
    "Liberation Sans": _four("truetype/liberation/LiberationSans-*.ttf"),
    "Liberation Serif": _four("truetype/liberation/LiberationSerif-*.ttf"),
    "Liberation Mono": _four("truetype/liberation/LiberationMono-*.ttf"),
    "Latin Modern Roman": _four("opentype/public/lm/lmroman10-*.otf", _TEXGYRE),
    "Latin Modern Sans": _four("opentype/public/lm/lmsans10-*.otf", ("regular", "bold", "oblique", "boldoblique")),
    "Latin Modern Mono": _four("opentype/public/lm/lmmono*.otf", ("10-regular", "lt10-bold", "10-italic", "lt10-boldoblique")),
    "Pagella": _four("opentype/public/tex-gyre/texgyrepagella-*.otf", _TEXGYRE),
    "Schola": _four("opentype/public/tex-gyre/texgyreschola-*.otf", _TEXGYRE),
    "Open Sans": _four("truetype/open-sans/OpenSans-*.ttf"),
    "Lato": _four("truetype/lato/Lato-*.ttf"),
    "Carlito": _four("truetype/crosextra/Carlito-*.ttf"),
    "Charis": _four("truetype/charis/CharisSIL-*.ttf"),
    "Libertine": _four("opentype/linux-libertine/LinLibertine_*.otf", ("R", "RB", "RI", "RBI")),
    "Hack": _four("truetype/hack/Hack-*.ttf"),
}
HELD_OUT = {  # a sans, two serifs, a mono: no training page shows them
    "Roboto": _four("truetype/roboto/unhinted/RobotoTTF/Roboto-*.ttf"),
    "Gentium Book": _four("truetype/gentium-basic/GenBkBas*.ttf", ("R", "B", "I", "BI")),
    "Caladea": _four("truetype/crosextra/Caladea-*.ttf"),
    "Cursor": _four("opentype/public/tex-gyre/texgyrecursor-*.otf", _TEXGYRE),
}
MONO = {GO_MONO, "DejaVu Sans Mono", "Liberation Mono", "Latin Modern Mono", "Hack", "Cursor"}


@functools.cache
def _find(name):
    for root in ROOTS:
        if os.path.exists(p := os.path.join(root, name)):
            return p
    raise FileNotFoundError(f"{name} is in none of {ROOTS}: install the font packages that README.md names")


class Face:
    """A file at a size in pixels (may be fractional), with the advances of its letters."""

    def __init__(self, name, size):
        self.font = ImageFont.truetype(_find(name), size, layout_engine=ImageFont.Layout.BASIC)
        self.size, self._advance = size, {}

    def advance(self, c):
        if c not in self._advance:
            self._advance[c] = self.font.getlength(c)
        return self._advance[c]

    def width(self, text):
        return self.font.getlength(text)


@functools.lru_cache(4096)
def face(family, style, size):
    """style: 0 regular, 1 bold, 2 italic, 3 both."""
    return Face((FAMILIES.get(family) or HELD_OUT[family])[style], size)
