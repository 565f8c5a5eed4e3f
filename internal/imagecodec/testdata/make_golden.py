"""Writes the test images of this directory and golden.json, which holds what
Pillow decodes them to.

    python make_golden.py        (in this directory)

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0) and numpy; golden.json names the
versions of the last run. Seed 20261123. All pictures are drawn here.

Pillow encodes what it can. The sampling factors, colour models and layouts of
scans that it cannot write come from the small encoder below.
"""
import hashlib
import io
import json
import math
import pathlib
import re
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, features

rng = np.random.default_rng(20261123)
files = {}


def picture(w, h, channels, kind):
    y, x = np.mgrid[0:h, 0:w]
    if kind == "noise":
        return rng.integers(0, 256, (h, w, channels), dtype=np.uint8)
    if kind == "smooth":
        planes = [128 + 120 * np.sin(x / (5 + 3 * c) + y / (9 - 2 * c) + c) for c in range(channels)]
        return np.stack(planes, -1).astype(np.uint8)
    # strokes of saturated colour on white, as in text
    p = np.full((h, w, channels), 255, np.uint8)
    for i in range(max(1, w * h // 60)):
        a, b = rng.integers(0, w), rng.integers(0, h)
        p[b : b + 1 + i % 3, a : a + 1 + i % 5] = rng.integers(0, 2, channels) * 255
    return p


def pillow(name, w, h, kind, mode="RGB", **options):
    p = picture(w, h, len(mode), kind)
    buf = io.BytesIO()
    Image.fromarray(p[..., 0] if mode == "L" else p, mode).save(buf, "JPEG", **options)
    files[name + ".jpg"] = buf.getvalue()


# A JPEG encoder for component planes of any sampling factors (T.81).

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))


def standard_tables():
    """The Huffman tables that libjpeg writes: those of T.81 annex K."""
    buf = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buf, "JPEG")
    b, i, tables = buf.getvalue(), 2, {}
    while b[i + 1] != 0xDA:
        n = struct.unpack(">H", b[i + 2 : i + 4])[0]
        if b[i + 1] == 0xC4:
            p = b[i + 4 : i + 2 + n]
            while p:
                count = sum(p[1:17])
                tables[p[0]] = p[1 : 17 + count]
                p = p[17 + count :]
        i += 2 + n
    return tables


TABLES = standard_tables()


def codes(table):
    out, code, at = {}, 0, 16
    for length in range(1, 17):
        for _ in range(table[length - 1]):
            out[table[at]] = (code, length)
            code, at = code + 1, at + 1
        code <<= 1
    return out


CODES = {k: codes(t) for k, t in TABLES.items()}


class Bits:
    def __init__(self):
        self.bits = []

    def put(self, value, length):
        self.bits += [value >> i & 1 for i in range(length - 1, -1, -1)]

    def value(self, v, size):
        self.put(v if v >= 0 else v + (1 << size) - 1, size)

    def flush(self):
        self.bits += [1] * (-len(self.bits) % 8)
        raw = np.packbits(np.array(self.bits, np.uint8)).tobytes()
        self.bits = []
        return raw.replace(b"\xff", b"\xff\x00")


def encode_block(out, block, pred, table, first=0, last=63):
    """One block in zigzag order, coefficients first to last; returns its DC."""
    if first == 0:
        diff = int(block[0]) - pred
        size = abs(diff).bit_length()
        out.put(*CODES[table][size])
        out.value(diff, size)
        first = 1
    run = 0
    for k in range(first, last + 1):
        v = int(block[k])
        if v == 0:
            run += 1
            continue
        while run > 15:
            out.put(*CODES[0x10 | table][0xF0])
            run -= 16
        size = abs(v).bit_length()
        out.put(*CODES[0x10 | table][run << 4 | size])
        out.value(v, size)
        run = 0
    if run and last > 0:
        out.put(*CODES[0x10 | table][0])
    return int(block[0])


def segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def encode(name, w, h, factors, kind="smooth", ids=None, quality=3, app=b"", restart=0,
           interleaved=True, progressive=False, wide=False, tables=True, fill=b""):
    """factors: (h, v) of each component. quality scales the one quantiser."""
    n = len(factors)
    ids = ids or list(range(1, n + 1))
    max_h, max_v = max(f[0] for f in factors), max(f[1] for f in factors)
    quant = [quality * (2 + i % 8 + i // 8) for i in range(64)]
    basis = np.array([[(math.sqrt(1 / 8) if u == 0 else 0.5) * math.cos((2 * x + 1) * u * math.pi / 16)
                       for x in range(8)] for u in range(8)])
    mx, my = -(-w // (8 * max_h)), -(-h // (8 * max_v))
    blocks, grids = [], []
    for c, (fh, fv) in enumerate(factors):
        cw, ch = -(-w * fh // max_h), -(-h * fv // max_v)
        plane = picture(cw, ch, n, kind)[..., c].astype(float) - 128
        plane = np.pad(plane, ((0, my * fv * 8 - ch), (0, mx * fh * 8 - cw)), "edge")
        grid = {}
        for by in range(my * fv):
            for bx in range(mx * fh):
                f = basis @ plane[by * 8 : by * 8 + 8, bx * 8 : bx * 8 + 8] @ basis.T
                q = np.round(f.flatten() / quant).astype(int)
                grid[by, bx] = q[ZIGZAG]
        blocks.append(grid)
        grids.append((-(-cw // 8), -(-ch // 8)))

    b = b"\xff\xd8" + app
    if wide:
        b += segment(0xDB, bytes([0x10]) + b"".join(struct.pack(">H", quant[i]) for i in ZIGZAG))
    else:
        b += segment(0xDB, bytes([0]) + bytes(quant[i] for i in ZIGZAG))
    frame = struct.pack(">BHHB", 8, h, w, n)
    for c, (fh, fv) in enumerate(factors):
        frame += bytes([ids[c], fh << 4 | fv, 0])
    b += segment(0xC2 if progressive else 0xC1 if wide else 0xC0, frame)
    if tables:
        for k, t in TABLES.items():
            b += segment(0xC4, bytes([k]) + t)
    if restart:
        b += segment(0xDD, struct.pack(">H", restart))

    def scan(members, first, last):
        out = Bits()
        head = bytes([len(members)]) + b"".join(bytes([ids[c], 0x11 * (c > 0)]) for c in members)
        data = fill + segment(0xDA, head + bytes([first, last, 0]))
        if len(members) == 1:
            c = members[0]
            units = [[(c, y, x)] for y in range(grids[c][1]) for x in range(grids[c][0])]
        else:
            units = [[(c, y * factors[c][1] + v, x * factors[c][0] + u)
                      for c in members for v in range(factors[c][1]) for u in range(factors[c][0])]
                     for y in range(my) for x in range(mx)]
        pred, restarts = [0] * n, 0
        for i, unit in enumerate(units):
            if restart and i and i % restart == 0:
                data += out.flush() + bytes([0xFF, 0xD0 + restarts % 8])
                pred, restarts = [0] * n, restarts + 1
            for c, y, x in unit:
                pred[c] = encode_block(out, blocks[c][y, x], pred[c], int(c > 0), first, last)
        return data + out.flush()

    every = list(range(n))
    if progressive:
        b += scan(every, 0, 0)
        for c in every:
            b += scan([c], 1, 9) + scan([c], 10, 63)
    elif interleaved:
        b += scan(every, 0, 63)
    else:
        b += b"".join(scan([c], 0, 63) for c in every)
    files[name + ".jpg"] = b + b"\xff\xd9"


def png(name, w, h, depth, color, samples, interlace=0, extra=b""):
    """samples: rows of packed bytes; w, h small."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    files[name + ".png"] = (b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlace)) + extra
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in samples))) + chunk(b"IEND", b""))
    return chunk


# What Pillow writes.
for name, sub in ("444", 0), ("422", 1), ("420", 2):
    pillow(f"{name}-smooth", 67, 45, "smooth", subsampling=sub, quality=90)
    pillow(f"{name}-strokes", 41, 33, "strokes", subsampling=sub, quality=40)
    pillow(f"{name}-noise", 24, 17, "noise", subsampling=sub, quality=98)
    pillow(f"{name}-progressive", 67, 45, "smooth", subsampling=sub, quality=80, progressive=True)
    pillow(f"{name}-progressive-strokes", 35, 31, "strokes", subsampling=sub, quality=95, progressive=True, restart_marker_rows=1)
    pillow(f"{name}-restart", 50, 40, "strokes", subsampling=sub, quality=60, restart_marker_blocks=2)
    for w, h in (1, 1), (2, 3), (3, 2), (5, 7), (8, 8), (16, 16), (17, 9), (33, 18):
        pillow(f"{name}-{w}x{h}", w, h, "noise", subsampling=sub, quality=75, optimize=True)
pillow("quality1", 40, 24, "noise", quality=1)
pillow("quality100", 19, 21, "noise", quality=100)
pillow("gray", 37, 29, "smooth", mode="L")
pillow("gray-progressive", 37, 29, "strokes", mode="L", progressive=True)
pillow("cmyk", 29, 23, "smooth", mode="CMYK")
pillow("cmyk-progressive", 29, 23, "strokes", mode="CMYK", progressive=True)

# What it does not.
ADOBE = lambda t: segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, t))
encode("440", 45, 67, [(1, 2), (1, 1), (1, 1)], "strokes")
encode("440-narrow", 1, 3, [(1, 2), (1, 1), (1, 1)], "noise")
encode("440-progressive", 21, 35, [(1, 2), (1, 1), (1, 1)], "strokes", progressive=True)
encode("411", 67, 45, [(4, 1), (1, 1), (1, 1)], "strokes")
encode("410", 67, 45, [(4, 2), (1, 1), (1, 1)], "smooth")
encode("441", 23, 41, [(1, 4), (1, 1), (1, 1)], "strokes")
encode("mixed", 37, 35, [(2, 2), (1, 2), (2, 1)], "strokes")
encode("chroma-larger", 37, 35, [(1, 1), (2, 2), (1, 1)], "strokes")
encode("420-narrow", 4, 5, [(2, 2), (1, 1), (1, 1)], "noise")
encode("noninterleaved", 37, 35, [(2, 2), (1, 1), (1, 1)], "strokes", interleaved=False, restart=3)
encode("wide-quantiser", 24, 20, [(1, 1)] * 3, "noise", quality=40, wide=True)
encode("gray-2x2", 37, 29, [(2, 2)], "strokes")
encode("no-huffman-tables", 24, 20, [(2, 1), (1, 1), (1, 1)], "strokes", tables=False)
encode("rgb-ids", 20, 18, [(1, 1)] * 3, "strokes", ids=[82, 71, 66])
encode("rgb-adobe", 20, 18, [(1, 1)] * 3, "strokes", app=ADOBE(0))
encode("equal-ids", 20, 18, [(1, 1)] * 3, "strokes", ids=[7, 7, 7])
encode("cmyk-bare", 20, 18, [(1, 1)] * 4, "smooth")
encode("ycck", 37, 29, [(2, 2), (1, 1), (1, 1), (2, 2)], "strokes", app=ADOBE(2))
encode("fill-bytes", 20, 18, [(1, 1)] * 3, "strokes", fill=b"\x00\x12\xff\xff\xff")
encode("saturated", 24, 24, [(2, 2), (1, 1), (1, 1)], "strokes", quality=15)

# Damage that libjpeg goes on from.
def damaged(name, source, edit):
    b = bytearray(files[source + ".jpg"])
    edit(b)
    files[name + ".jpg"] = bytes(b)


def overwrite(fraction, length):
    def edit(b):
        at = b.index(b"\xff\xda") + 14
        at += int((len(b) - at - 2) * fraction)
        for i in range(at, min(at + length, len(b) - 2)):
            b[i] = int(rng.integers(0, 255)) & 0xFE
    return edit


def without_restart(index):
    def edit(b):
        at = b.index(bytes([0xFF, 0xD0 + index]))
        end = b.index(bytes([0xFF, 0xD0 + index + 1]))
        del b[at:end]
    return edit


damaged("damaged-420", "420-smooth", overwrite(0.3, 12))
damaged("damaged-422", "422-noise", overwrite(0.1, 40))
damaged("damaged-progressive", "420-progressive", overwrite(0.2, 9))
damaged("damaged-refinement", "420-progressive", overwrite(0.9, 20))
damaged("damaged-restart", "420-restart", overwrite(0.2, 30))
damaged("lost-restart", "444-restart", without_restart(2))
damaged("short-scan", "420-smooth", lambda b: b.__delitem__(slice(len(b) - 200, len(b) - 2)))

rows = lambda a: [r.tobytes() for r in a]
chunk = png("rgb", 19, 11, 8, 2, rows(picture(19, 11, 3, "strokes")))
png("rgb-transparent", 3, 1, 8, 2, [bytes([1, 2, 3, 4, 5, 6, 7, 8, 9])], extra=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
png("rgba", 19, 11, 8, 6, rows(picture(19, 11, 4, "smooth")))
png("gray", 19, 11, 8, 0, rows(picture(19, 11, 1, "smooth")))
png("gray-alpha", 19, 11, 8, 4, rows(picture(19, 11, 2, "smooth")))
png("gray-transparent", 4, 1, 8, 0, [bytes([0, 9, 200, 255])], extra=chunk(b"tRNS", struct.pack(">H", 9)))
for depth in 1, 2, 4:
    png(f"gray{depth}", 19, 5, depth, 0, rows(rng.integers(0, 256, (5, -(-19 * depth // 8)), dtype=np.uint8)))
deep = struct.pack(">8H", 0, 1, 127, 255, 256, 257, 32768, 65535)
png("gray16", 8, 1, 16, 0, [deep])
png("gray16-transparent", 8, 1, 16, 0, [deep], extra=chunk(b"tRNS", struct.pack(">H", 255)))
png("gray-alpha16", 4, 1, 16, 4, [deep])
png("rgb16", 2, 1, 16, 2, [deep[:12]])
png("rgba16", 2, 1, 16, 6, [deep])
colors = chunk(b"PLTE", bytes(range(10, 10 + 3 * 5)))
png("palette", 6, 1, 8, 3, [bytes([0, 1, 2, 3, 4, 200])], extra=colors)
png("palette-transparent", 6, 1, 8, 3, [bytes([0, 1, 2, 3, 4, 0])], extra=colors + chunk(b"tRNS", bytes([0, 128])))
for depth in 1, 2, 4:
    png(f"palette{depth}", 13, 5, depth, 3, rows(rng.integers(0, 256, (5, -(-13 * depth // 8)), dtype=np.uint8)), 
        extra=chunk(b"PLTE", bytes(range(10, 10 + 3 * min(5, 1 << depth)))))
buf = io.BytesIO()
Image.fromarray(picture(23, 13, 3, "smooth")).save(buf, "PNG")
files["pillow.png"] = buf.getvalue()

here = pathlib.Path(__file__).parent
golden = {
    "command": "python make_golden.py",
    "pillow": PIL.__version__,
    "libjpeg-turbo": features.version("libjpeg_turbo"),
    "numpy": np.__version__,
    "seed": 20261123,
    "files": [],
}
def webp(name, w, h, kind, mode="RGB", **options):
    buf = io.BytesIO()
    Image.fromarray(picture(w, h, len(mode), kind), mode).save(buf, "WEBP", **options)
    files[name + ".webp"] = buf.getvalue()


for w, h in [(1, 1), (2, 1), (1, 2), (2, 2), (3, 3), (5, 8), (8, 5), (16, 16), (33, 18), (50, 47)]:
    webp(f"lossy-{w}x{h}", w, h, "strokes", quality=90)
webp("lossy-noise", 41, 37, "noise", quality=30, method=6)
webp("lossy-smooth", 64, 48, "smooth", quality=5)
webp("lossy-alpha", 29, 31, "noise", "RGBA", quality=80)
webp("lossy-exif", 24, 24, "smooth", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
webp("lossless", 31, 17, "strokes", lossless=True)
webp("lossless-noise", 13, 9, "noise", lossless=True)
webp("lossless-alpha", 19, 23, "noise", "RGBA", lossless=True, exact=True)
# Animations, of which the first frame counts; "animated-part" covers a part of its
# canvas, which the encoder never writes: the first frame's place is moved.
frames = lambda mode, kind: [Image.fromarray(picture(26, 22, len(mode), k), mode) for k in (kind, "noise")]
for name, mode, kind, options in [("animated", "RGB", "strokes", dict(quality=80)), ("animated-lossless", "RGBA", "smooth", dict(lossless=True, exact=True)),
                                  ("animated-alpha", "RGBA", "smooth", dict(quality=80))]:
    first, second = frames(mode, kind)
    buf = io.BytesIO()
    first.save(buf, "WEBP", save_all=True, append_images=[second], **options)
    files[name + ".webp"] = buf.getvalue()
part = bytearray(files["animated.webp"])
part[24:30] = struct.pack("<I", 40 - 1)[:3] + struct.pack("<I", 30 - 1)[:3]
at = part.index(b"ANMF") + 8
part[at : at + 6] = struct.pack("<I", 3)[:3] + struct.pack("<I", 2)[:3]
files["animated-part.webp"] = bytes(part)

# Damage of PNG files that Pillow passes over.
def with_pixels(name, source, edit):
    b = files[source + ".png"]
    at = b.index(b"IDAT")
    length = struct.unpack(">I", b[at - 4 : at])[0]
    files[name + ".png"] = edit(b, at, at + 4 + length)


png("interlaced", 5, 3, 8, 2, [r for w, h in [(1, 1), (1, 1), (1, 1), (3, 1), (2, 2), (5, 1)] for r in [bytes(range(3 * w))] * h], interlace=1)
with_pixels("checksum-of-pixels", "rgba", lambda b, at, end: b[:end] + b"\1\2\3\4" + b[end + 4 :])
png("more-rows", 4, 2, 8, 0, [bytes([1, 2, 3, 4]), bytes([9, 8, 7, 6]), bytes(4), bytes(4)])
with_pixels("no-end", "pillow", lambda b, at, end: b[:end])
with_pixels("interlaced-no-end", "interlaced", lambda b, at, end: b[:end])
with_pixels("no-adler", "palette4", lambda b, at, end: b[: end - 4])
# What is not to be there, or too much: of the palette, and of what is transparent.
four = [bytes([0, 1, 2, 3])]
png("palette-more", 4, 1, 2, 3, [bytes([0b00011011])], extra=chunk(b"PLTE", bytes(range(10, 10 + 3 * 20))))
png("palette-odd", 4, 1, 8, 3, four, extra=chunk(b"PLTE", bytes(range(10, 10 + 14))))
png("gray-palette", 4, 1, 8, 0, four, extra=colors)
png("gray-alpha-palette", 2, 1, 8, 4, four, extra=colors)
png("gray-transparent-long", 4, 1, 8, 0, four, extra=chunk(b"tRNS", bytes(4)))
png("rgba-transparent", 1, 1, 8, 6, four, extra=chunk(b"tRNS", bytes(6)))
png("palette-transparent-first", 4, 1, 8, 3, four, extra=chunk(b"tRNS", bytes([0, 128])) + colors)
# Progressive files that end too early: whole scans are missing, or a part of the last.
def early(source, count, share=1.0):
    b = files[source + ".jpg"]
    starts = [m.start() for m in re.finditer(b"\xff\xda", b)]
    if share == 1:
        return b[:(starts + [len(b) - 2])[count]] + b"\xff\xd9"
    data = starts[count - 1] + 2 + int.from_bytes(b[starts[count - 1] + 2 :][:2], "big")
    end = data + re.search(rb"\xff[^\x00\xd0-\xd7]", b[data:], re.DOTALL).start()
    return b[: data + int((end - data) * share)] + b"\xff\xd9"


for source in "420-progressive", "444-progressive-strokes", "gray-progressive", "cmyk-progressive", "440-progressive":
    for count in 1, 2, 4:
        files[f"{source}-scans{count}.jpg"] = early(source, count)
    for count in 1, 3:
        files[f"{source}-scans{count}-cut.jpg"] = early(source, count, 0.4)

# Files of which the end is missing, but not of what is decoded: the pixels, or
# zeros where they were, go on to the end of the file.
def at_scan(name, source, edit):
    b = files[source + ".jpg"]
    data = b.index(b"\xff\xda") + 14
    files[name + ".jpg"] = edit(b, data, data + (len(b) - data) // 2)


at_scan("no-end-zeros", "420-strokes", lambda b, data, half: b[:-2] + bytes(40))
at_scan("half-zeros", "420-strokes", lambda b, data, half: b[:half] + bytes(4000))
at_scan("last-zeros-restart", "420-restart", lambda b, data, half: b[: [m.end() for m in re.finditer(b"\xff[\xd0-\xd7]", b)][-1]] + bytes(400))
at_scan("cut-behind-scan", "444-strokes", lambda b, data, half: b[:-2] + segment(0xFE, bytes(50))[:20])
# A component that has two scans, of different pictures.
encode("again", 37, 35, [(2, 2), (1, 1), (1, 1)], "noise", interleaved=False, restart=3)
scans = [m.start() for m in re.finditer(b"\xff\xda", files["again.jpg"])]
files["scanned-twice.jpg"] = files["noninterleaved.jpg"][:-2] + files.pop("again.jpg")[scans[0] : scans[1]] + b"\xff\xd9"
# A progressive file that ends early, and of whose last scan all of the last row is
# lost but its last block, which is an interval of its own.
pillow("restarts", 61, 53, "strokes", mode="L", progressive=True, restart_marker_blocks=5)
b = early("restarts", 4)
first, second, end = [m.start() for m in re.finditer(b"\xff[\xd0-\xd7]", b)][-3:]
files["lost-row.jpg"] = b[: first + 2] + b[second : second + 2] + b[end:]
del files["restarts.jpg"]
# Segments whose length is too small for itself.
files["no-length.jpg"] = b"".join([files["422-strokes.jpg"][:2], b"\xff\xfe\0\0\xff\xe0\0\1\xff\xdc\0\0", files["422-strokes.jpg"][2:]])

def digest(image):
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def scaled(data, scale):
    """What libjpeg-turbo decodes to 1/scale, by Image.draft; the size asked for is a
    little smaller, as draft rounds the scale down."""
    image = Image.open(io.BytesIO(data))
    w, h = image.size
    image.draft(None, (w / (scale + 0.5), h / (scale + 0.5)))
    assert image.size == (-(-w // scale), -(-h // scale)), (image.size, w, h, scale)
    return digest(image)


for name, data in files.items():
    (here / name).write_bytes(data)
    image = Image.open(io.BytesIO(data))
    entry = {"name": name, "width": image.width, "height": image.height, "sha256": digest(image)}
    if name.endswith(".jpg"):
        entry["scaled"] = {scale: scaled(data, scale) for scale in (2, 4, 8)}
    golden["files"].append(entry)
text = json.dumps({**golden, "files": []}, indent=1)[:-4].rstrip()
lines = ",\n".join("  " + json.dumps(f) for f in golden["files"])
(here / "golden.json").write_text(f"{text} [\n{lines}\n ]\n}}\n")
