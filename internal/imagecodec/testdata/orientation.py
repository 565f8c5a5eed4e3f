"""Writes pictures with an EXIF orientation, and orientation.json, which holds
what Pillow's ImageOps.exif_transpose makes of them, and of JPEGs that libjpeg-turbo
decodes at a smaller scale (Image.draft).

    python orientation.py        (in this directory)

Made with Pillow 13.0.0 and numpy. All pictures are drawn here.
"""
import hashlib, io, json, pathlib
import numpy as np
import PIL
from PIL import Image, ImageOps

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


def write(name, format, orientation, **options):
    exif = Image.Exif()
    exif[0x010F] = "maker"  # the tag is not the first
    exif[TAG] = orientation
    exif[0x0131] = "software"
    buf = io.BytesIO()
    Image.fromarray(picture).save(buf, format, exif=exif, **options)
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
(here / "orientation.json").write_text(json.dumps({"command": "python orientation.py", "pillow": PIL.__version__, "numpy": np.__version__, "files": files}, indent=1) + "\n")
