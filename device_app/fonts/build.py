"""Make the fonts in this folder from the npm packages that carry their sources.

    npm install --ignore-scripts @fontsource/inter@5.3.0 @fontsource/noto-sans-sc@5.3.0 \
        @fontsource/noto-sans-jp@5.3.0 material-symbols@0.47.5
    pip install fonttools brotli
    python device_app/fonts/build.py node_modules

fontsource cuts a font into some hundred WOFF2 files by Unicode range. Here the ranges the app needs
are taken out and merged into one file a face, since Kivy has neither WOFF2 nor font fallback:

- Inter 400 and 600 with Latin, Greek and Cyrillic, kerning kept
- Noto Sans JP 500, JIS X 0208 level 1 (2,965 kanji) with kana, and Noto Sans SC 500, GB 2312 level 1
  (3,755 characters) and all that the Japanese face has, for a Japanese title in a Chinese sentence;
  each with the Latin letters, so that one label needs one font; their outlines become cubic ones
  (CFF), a fifth smaller, no point off by more than 2/1000 em
- Material Symbols Rounded, only the icons of `ICONS` in device_app/typeface.py, outlined and filled

`coverage.txt` lists the Han characters that are common in the language of each face;
device_app/typeface.py chooses by it.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.merge import Merger
from fontTools.merge import Options as MergeOptions
from fontTools.pens.qu2cuPen import Qu2CuPen
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.subset import Options as SubsetOptions
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

LATIN = set(range(0x20, 0x7F)) | set(range(0xA0, 0x180))
PUNCTUATION = set(range(0x2010, 0x2028)) | set(range(0x2030, 0x203B)) | {0x20AC, 0x2122, 0x2212}
GREEK_CYRILLIC = set(range(0x370, 0x400)) | set(range(0x400, 0x460))
LATIN_MORE = set(range(0x180, 0x250)) | set(range(0x1E00, 0x1F00))


def rows(encoding: str, first: int, last: int) -> set[int]:
    """Code points of the rows first..last of a 94 x 94 character set."""
    found = set()
    for row in range(first, last + 1):
        for cell in range(1, 95):
            text = bytes([row + 0xA0, cell + 0xA0]).decode(encoding, errors="ignore")
            found.update(map(ord, text))
    return found


def subset(font: TTFont, characters: set[int], features: list[str]) -> TTFont:
    options = SubsetOptions()
    options.layout_features = features
    options.hinting = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["vhea", "vmtx", "BASE", "GDEF", "VORG", "STAT", "DSIG", "gasp"]
    if not features:
        options.drop_tables += ["GSUB", "GPOS"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    return font


def merged(files: list[Path], characters: set[int], features: list[str], out: Path) -> set[int]:
    """One TTF with the wanted characters of all files; returns what was found."""
    parts: list[io.BytesIO] = []
    missing = set(characters)
    for file in files:
        font = TTFont(file)
        here = missing & set(font.getBestCmap())
        if here:
            part = io.BytesIO()
            font.flavor = None
            subset(font, here, features).save(part)
            part.seek(0)
            parts.append(part)
            missing -= here
    options = MergeOptions(drop_tables=["vhea", "vmtx"])
    font = Merger(options).merge(parts)
    for tag in ("vhea", "vmtx"):
        if tag in font:
            del font[tag]
    font.save(out)
    return characters - missing


def with_cubic_outlines(file: Path) -> None:
    """Replace FILE.ttf by FILE.otf: the same font with CFF outlines."""
    font = TTFont(file)
    glyphs = font.getGlyphSet()
    outlines = {}
    for name in font.getGlyphOrder():
        pen = T2CharStringPen(glyphs[name].width, glyphs)
        glyphs[name].draw(Qu2CuPen(pen, max_err=2.0, all_cubic=True))
        outlines[name] = pen.getCharString()
    builder = FontBuilder(font=font)
    builder.isTTF = False
    del font["glyf"], font["loca"]
    font["maxp"].tableVersion = 0x00005000
    font.sfntVersion = "OTTO"
    builder.setupCFF(file.stem, {}, outlines, {})
    font.save(file.with_suffix(".otf"))
    file.unlink()


def icons(source: Path) -> None:
    from device_app.typeface import ICONS

    for name, fill in (("Icons.ttf", 0), ("IconsFilled.ttf", 1)):
        font = TTFont(source)
        font.flavor = None
        subset(font, {ord(icon) for icon in ICONS.values()}, [])
        axes = {"FILL": fill, "wght": 400, "GRAD": 0, "opsz": 24}
        instantiateVariableFont(font, axes, inplace=True)
        font.save(HERE / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("node_modules", type=Path)
    modules = parser.parse_args().node_modules
    inter, sc, jp = (
        modules / "@fontsource" / name for name in ("inter", "noto-sans-sc", "noto-sans-jp")
    )
    wanted = LATIN | LATIN_MORE | PUNCTUATION | GREEK_CYRILLIC
    for face, weight in (("Inter-Regular", 400), ("Inter-SemiBold", 600)):
        scripts = ("latin", "latin-ext", "greek", "cyrillic", "vietnamese")
        files = [inter / "files" / f"inter-{script}-{weight}-normal.woff2" for script in scripts]
        merged(files, wanted, ["kern"], HERE / f"{face}.ttf")

    coverage = {}
    chinese, japanese = (
        sorted((package / "files").glob(f"{package.name}-*-500-normal.woff2"))
        for package in (sc, jp)
    )
    kanji = rows("euc_jp", 16, 47) | rows("euc_jp", 1, 5)
    hanzi = rows("gb2312", 16, 55) | rows("gb2312", 1, 3)
    faces = {
        "NotoSansSC": ([*chinese, *japanese], hanzi, kanji),
        "NotoSansJP": (japanese, kanji, set()),
    }
    for face, (files, common, more) in faces.items():
        found = merged(files, common | more | LATIN | PUNCTUATION, [], HERE / f"{face}.ttf")
        with_cubic_outlines(HERE / f"{face}.ttf")
        coverage[face] = "".join(sorted(chr(c) for c in found & common if 0x3400 <= c <= 0x9FFF))
    lines = [f"{face} {han}\n" for face, han in coverage.items()]
    (HERE / "coverage.txt").write_text("".join(lines), encoding="utf-8")

    icons(modules / "material-symbols" / "material-symbols-rounded.woff2")
    shutil.copy(inter / "LICENSE", HERE / "OFL-Inter.txt")
    shutil.copy(sc / "LICENSE", HERE / "OFL-NotoSans.txt")
    shutil.copy(modules / "material-symbols" / "LICENSE", HERE / "Apache-MaterialSymbols.txt")
    total = sum(file.stat().st_size for file in HERE.glob("*.?tf"))
    print(f"fonts: {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
