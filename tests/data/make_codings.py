#!/usr/bin/env python3
"""Makes pictures in many codings, for tests/codings.rs: python3 make_codings.py FOLDER

Needs Pillow, cjpeg and ImageMagick's convert. Every file is a line of FOLDER/codings.tsv: its name, and "shown" or
"refused". What is to be shown lies beside it as NAME.ppm, as Pillow decodes it. The pictures are drawn here, from a seed.
"""

import io
import pathlib
import random
import struct
import subprocess
import sys

from PIL import Image, ImageDraw, ImageFilter

FOLDER = pathlib.Path(sys.argv[1])
SIZES = [(1, 1), (8, 8), (17, 9), (33, 40), (97, 63)]
FACTORS = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "1x1,2x2,2x2", "1x1,2x1,2x1", "2x2,2x1,1x2", "3x1"]
SCANS = {"y-cb-cr": "0;1;2;", "cr-cb-y": "2;1;0;", "y-cbcr": "0;1 2;", "cb-y-cr": "1;0;2;"}
END = b"\xff\xd9"
lines = []


def drawn(size):
    """Shapes on a slope of colours with some noise."""
    rng = random.Random(size[0] * 1000 + size[1])
    picture = Image.new("RGB", size)
    pixels = [(x * 255 // size[0], y * 255 // size[1], (x + y) * 4 % 256) for y in range(size[1]) for x in range(size[0])]
    picture.putdata([tuple(min(255, level + rng.randrange(12)) for level in pixel) for pixel in pixels])
    draw = ImageDraw.Draw(picture)
    for _ in range(4):
        left, top = rng.randrange(size[0]), rng.randrange(size[1])
        draw.ellipse([left, top, left + size[0] // 3, top + size[1] // 3], fill=tuple(rng.randrange(256) for _ in range(3)))
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def put(name, data, verdict="shown"):
    (FOLDER / name).write_bytes(data)
    if verdict == "shown":
        Image.open(io.BytesIO(data)).convert("RGB").save(FOLDER / (name + ".ppm"))
    lines.append(f"{name}\t{verdict}\n")
    return data


def saved(picture, kind, **how):
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()


def ran(*command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def cjpeg(ppm, *how):
    return ran("cjpeg", *how, data=ppm)


def without(jpeg, markers):
    """The file without the segments of these markers."""
    kept, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        kept += b"" if jpeg[at + 1] in markers else jpeg[at:end]
        at = end
    return kept + jpeg[at:]


def codings(size):
    """JPEG, PNG, WebP and BMP of one size, as programs write them."""
    picture, name = drawn(size), f"{size[0]}x{size[1]}"
    ppm, pgm = saved(picture, "PPM"), saved(picture.convert("L"), "PPM")
    for factors in FACTORS:
        for way, how in {"plain": [], "progressive": ["-progressive"], "restarts": ["-restart", "1"]}.items():
            put(f"{name}-{factors.replace(',', '_')}-{way}.jpg", cjpeg(ppm, "-sample", factors, *how))
    for scans, script in SCANS.items():
        (FOLDER / "scans.txt").write_text(script)
        for factors in FACTORS[:4]:
            put(f"{name}-{factors}-{scans}.jpg", cjpeg(ppm, "-sample", factors, "-scans", str(FOLDER / "scans.txt")))
    for way, how in {"rgb": ["-rgb"], "grey": ["-grayscale"], "coarse": ["-quality", "3"], "fine": ["-quality", "100"]}.items():
        put(f"{name}-{way}.jpg", cjpeg(ppm, *how))
    put(f"{name}-grey-2x2.jpg", cjpeg(pgm, "-sample", "2x2"))
    put(f"{name}-arithmetic.jpg", cjpeg(ppm, "-arithmetic"), "refused")
    for factors in ["2x1", "2x2"]:
        frame = without(cjpeg(ppm, "-sample", factors), {0xC4, 0xE0})
        put(f"{name}-webcam-{factors}.jpg", frame)
        put(f"{name}-webcam-{factors}-longer.jpg", frame[:-2] + b"\x21\x43\x65" + END)
    put(f"{name}-cmyk.jpg", saved(picture.convert("CMYK"), "JPEG", quality=95))
    magick = {
        "ycck.jpg": ["-colorspace", "CMYK", "-sampling-factor", "2x2,1x1,1x1,2x2"],
        "palette.png": ["-colors", "40", "-type", "Palette"],
        "deep.png": ["-depth", "16"],
        "interlaced.png": ["-interlace", "Line"],
        "grey.png": ["-colorspace", "Gray"],
        "lossless.webp": ["-define", "webp:lossless=true"],
        "lossy.webp": ["-quality", "80"],
        "3.bmp": ["-define", "bmp:format=bmp3"],
        "4.bmp": ["-define", "bmp:format=bmp4"],
        "palette.bmp": ["-colors", "16", "-type", "Palette", "-define", "bmp:format=bmp3"],
    }
    for file, how in magick.items():
        put(f"{name}-magick-{file}", ran("convert", "ppm:-", *how, f"{file.rpartition('.')[2]}:-", data=ppm))
    for header, masks in [(40, False), (108, True), (124, True)]:
        for alpha in [0, 255]:
            put(f"{name}-32-{header}-alpha-{alpha}.bmp", bmp(picture, header, masks, alpha))


def bmp(picture, header, masks, alpha):
    """32 bits a pixel, the last eight of them `alpha`, with a mask for it or without masks."""
    width, height = picture.size
    rows = [bytes([picture.getpixel((x, y))[c] if c < 3 else alpha for x in range(width) for c in (2, 1, 0, 3)]) for y in range(height)]
    pixels = b"".join(reversed(rows))
    fields = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3 if masks else 0, len(pixels), 2835, 2835, 0, 0)
    if masks:
        fields += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs"
    fields = fields.ljust(header, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + header + len(pixels), 0, 0, 14 + header) + fields + pixels


def broken():
    """Files that end where they should, with a part of the picture missing."""
    picture = drawn((320, 240))
    ppm = saved(picture, "PPM")
    (FOLDER / "scans.txt").write_text("0;1;2;")
    whole = {
        "plain": saved(picture, "JPEG", quality=75),
        "fine": saved(picture, "JPEG", quality=97),
        "optimised": saved(picture, "JPEG", quality=75, optimize=True),
        "progressive": saved(picture, "JPEG", quality=75, progressive=True),
        "restarts": cjpeg(ppm, "-restart", "1"),
        "scans": cjpeg(ppm, "-scans", str(FOLDER / "scans.txt")),
    }
    for way, jpeg in whole.items():
        put(f"whole-{way}.jpg", jpeg)
        data = jpeg.index(b"\xff\xda") + 20
        for part in range(0, 100, 5):
            put(f"cut-{way}-{part}.jpg", jpeg[: data + (len(jpeg) - data - 20) * part // 100] + END, "refused")
        half = (data + len(jpeg)) // 2
        put(f"zeros-{way}.jpg", jpeg[:half] + bytes(len(jpeg) - half - 2) + END, "refused")
        put(f"no-end-{way}.jpg", jpeg[:-2], "refused")
        at = jpeg.find(b"\xff\xda", data)
        while at > 0:
            put(f"fewer-scans-{way}-{at}.jpg", jpeg[:at] + END, "refused")
            at = jpeg.find(b"\xff\xda", at + 2)


FOLDER.mkdir(exist_ok=True)
for size in SIZES:
    codings(size)
broken()
(FOLDER / "codings.tsv").write_text("".join(lines))
