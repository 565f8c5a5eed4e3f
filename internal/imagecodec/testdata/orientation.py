"""Writes pictures with an EXIF orientation, and orientation.json, which holds
what Pillow's ImageOps.exif_transpose makes of them.

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


def write(name, format, orientation, **options):
    exif = Image.Exif()
    exif[0x010F] = "maker"  # the tag is not the first
    exif[TAG] = orientation
    exif[0x0131] = "software"
    buf = io.BytesIO()
    Image.fromarray(picture).save(buf, format, exif=exif, **options)
    data = buf.getvalue()
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    files.append({"name": name, "orientation": orientation, "width": upright.width, "height": upright.height,
                  "sha256": hashlib.sha256(upright.tobytes()).hexdigest()})
    (here / name).write_bytes(data)


for orientation in range(1, 9):
    write(f"orientation{orientation}.jpg", "JPEG", orientation, quality=90)
write("orientation6.png", "PNG", 6)
write("orientation8.webp", "WEBP", 8, lossless=True)
(here / "orientation.json").write_text(json.dumps({"command": "python orientation.py", "pillow": PIL.__version__, "numpy": np.__version__, "files": files}, indent=1) + "\n")
