"""Writes pictures with an EXIF orientation, and orientation.json, which holds
what Pillow's ImageOps.exif_transpose makes of them, and of JPEGs that libjpeg-turbo
decodes at a smaller scale (Image.draft).

    python orientation.py        (in this directory)

Made with Pillow 13.0.0 and numpy. All pictures are drawn here.
"""
import hashlib, io, json, pathlib
import numpy as np
import PIL
from PIL import Image, ImageOps, PngImagePlugin

TAG = 0x0112
y, x = np.mgrid[0:23, 0:37]
picture = np.stack([x * 6, y * 11, (x + 2 * y) * 3 % 256], -1).astype(np.uint8)
here, files = pathlib.Path(__file__).parent, []


def upright(data, scale=1):
    image = Image.open(io.BytesIO(data))
    if scale > 1:
        w, h = image.size
        image.draft(None, (w / (scale + 0.5), h / (scale + 0.5)))
        assert image.size == (-(-w // scale), -(-h // scale))
    return ImageOps.exif_transpose(image).convert("RGB")


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x010F] = "maker"  # the tag is not the first
    if orientation:
        exif[TAG] = orientation
    exif[0x0131] = "software"
    return exif


def write(name, format, orientation, **options):
    buf = io.BytesIO()
    Image.fromarray(picture).save(buf, format, **{"exif": exif_of(orientation), **options})
    data = buf.getvalue()
    whole = upright(data)
    files.append({"name": name, "orientation": orientation, "width": whole.width, "height": whole.height, "sha256": digest(whole)})
    if format == "JPEG":
        files[-1]["scaled"] = {scale: digest(upright(data, scale)) for scale in (2, 4, 8)}
    (here / name).write_bytes(data)


for orientation in range(1, 9):
    write(f"orientation{orientation}.jpg", "JPEG", orientation, quality=90)
write("orientation6.png", "PNG", 6)
write("orientation8.webp", "WEBP", 8, lossless=True)

# Where EXIF data do not tell, XMP data do, as an attribute or an element.
attribute = lambda o: b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % o
element = lambda o: b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>%d</tiff:Orientation></x:xmpmeta>' % o
def texts(keyword, text, **options):
    info = PngImagePlugin.PngInfo()
    (info.add_itxt if keyword.startswith("XML") else info.add_text)(keyword, text, **options)
    return info


write("orientation-xmp5.jpg", "JPEG", 5, quality=90, exif=exif_of(None), xmp=attribute(5))
write("orientation-exif-xmp6.jpg", "JPEG", 6, quality=90, xmp=attribute(3))
write("orientation-xmp3.webp", "WEBP", 3, lossless=True, exif=b"", xmp=element(3))
write("orientation-xmp7.png", "PNG", 7, exif=b"", pnginfo=texts("XML:com.adobe.xmp", element(7).decode()))
write("orientation-xmp2.png", "PNG", 2, exif=b"", pnginfo=texts("XML:com.adobe.xmp", attribute(2).decode(), zip=True))
raw = exif_of(8).tobytes()
for name, packed in ("orientation-raw8.png", False), ("orientation-raw-packed8.png", True):
    profile = "\nexif\n%8d\n%s\n" % (len(raw), "\n".join(raw.hex()[i : i + 72] for i in range(0, 2 * len(raw), 72)))
    write(name, "PNG", 8, exif=b"", pnginfo=texts("Raw profile type exif", profile, zip=packed))
(here / "orientation.json").write_text(json.dumps({"command": "python orientation.py", "pillow": PIL.__version__, "numpy": np.__version__, "files": files}, indent=1) + "\n")
