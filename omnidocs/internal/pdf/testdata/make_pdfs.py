"""Makes the PDFs of this folder that pdfwriter cannot: python make_pdfs.py

Written with reportlab 5.1.0 and pikepdf 10.18.0. The text of unicode.pdf is ASCII in its font, which a ToUnicode table
turns into characters outside the basic plane.
"""

import io

import pikepdf
from reportlab.pdfgen import canvas


def page(text, width=200, height=100):
    out = io.BytesIO()
    c = canvas.Canvas(out, pagesize=(width, height), invariant=1)
    c.drawString(20, 60, text)
    c.showPage()
    c.save()
    return out.getvalue()


for name, how in {
    "encrypted_aes256.pdf": pikepdf.Encryption(user="sesame", owner="owner", R=6),
    "encrypted_rc4.pdf": pikepdf.Encryption(user="sesame", owner="owner", R=3, aes=False, metadata=False),
    "encrypted_owner.pdf": pikepdf.Encryption(user="", owner="owner", R=6),
}.items():
    with pikepdf.open(io.BytesIO(page("a secret"))) as pdf:
        pdf.save(name, encryption=how)

out = io.BytesIO()
c = canvas.Canvas(out, pagesize=(200, 100), invariant=1)
c.drawString(20, 80, "Name:")
c.acroForm.textfield(name="name", value="Filled In", x=20, y=30, width=150, height=30, borderWidth=0, fillColor=None)
c.showPage()
c.save()
open("form.pdf", "wb").write(out.getvalue())

with pikepdf.open(io.BytesIO(page("ABAB and more"))) as pdf:
    cmap = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap
1 begincodespacerange <00> <ff> endcodespacerange
2 beginbfchar <41> <D83DDE00> <42> <D835DC00> endbfchar
1 beginbfrange <20> <3f> <0020> endbfrange
1 beginbfrange <43> <7a> <0043> endbfrange
endcmap end end"""
    for font in pdf.pages[0].Resources.Font.values():
        font.ToUnicode = pdf.make_stream(cmap)
    pdf.save("unicode.pdf", deterministic_id=True)
