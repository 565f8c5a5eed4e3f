"""Writes golden.json and golden.bin: what Pillow and torchvision make of small
pictures, for the byte tests of package augment.

Made with Python 3, Pillow 13.0.0, torch 2.15.0, torchvision 0.29.2, numpy 2.4.6,
seed 7, by

    python3 augment/testdata/golden.py

golden.bin holds the pixels of all pictures, RGB, rows packed, one after another;
golden.json says what each is. Where a whole set of colours is covered only the
SHA-256 of the result is kept.

Pillow 13 takes the vertical pass of a resize first where the height loses more
than twice as many pixels as the width; versions up to 12 never do, and differ by
one here and there. The cases lie on both sides of that line and on it.
"""

import hashlib
import json
import pathlib

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode

torch.set_num_threads(1)
SEED = 7
HERE = pathlib.Path(__file__).parent
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
rng = np.random.default_rng(SEED)


def picture(w, h):
    """Left part noise, right part a gradient with an edge: rounding and clipping."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    smooth = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 128 + 127 * np.sin(x / 3 + y / 5)], -1)
    smooth[(x + 2 * y) % 17 < 4] = [255, 0, 30]
    noise = rng.integers(0, 256, (h, w, 3))
    pixels = np.where((x < w / 2)[..., None], noise, smooth)
    return Image.fromarray(pixels.astype(np.uint8), "RGB")


def resize(image, size, mode="bilinear"):
    return F.resize(image, size, MODES[mode])


def resized_crop(image, top, left, height, width, size, mode="bilinear"):
    return resize(F.crop(image, top, left, height, width), size, mode)


blob = bytearray()


def store(image):
    entry = {"w": image.width, "h": image.height, "offset": len(blob)}
    blob.extend(image.tobytes())
    return entry


SIZES = [(1, 1), (1, 7), (9, 1), (5, 3), (17, 13), (32, 32), (33, 21), (40, 57)]
images = {f"{w}x{h}": picture(w, h) for w, h in SIZES}
cases = []


def case(name, op, result):
    cases.append({"image": name, "op": op} | store(result))


for name, targets in {
    "1x1": [[4, 3]],
    "1x7": [[3, 3]],
    "9x1": [[2, 5]],
    "5x3": [[8, 8], [3, 2], [3, 7]],
    "17x13": [[16, 16], [13, 9], [7, 17], [5, 31]],
    # [h, w]; the line between the orders runs through h = 57-2*(40-w)
    "40x57": [[32, 32], [1, 1], [10, 40], [57, 11], [36, 30], [37, 30], [38, 30], [56, 39], [54, 39], [56, 44], [20, 49], [61, 20]],
    "33x21": [9, 24],
    "32x32": [12],
}.items():
    for size in targets:
        for mode in MODES:
            op = {"op": "resize", "size": size, "interpolation": mode}
            case(name, op, resize(images[name], size, mode))

for name, box in {
    "17x13": [3, 2, 8, 7],
    "5x3": [-2, -1, 9, 6],
    "9x1": [4, 0, 3, 1],
    "33x21": [30, 18, 6, 6],
    "1x1": [3, 3, 2, 2],
}.items():
    left, top, width, height = box
    case(name, {"op": "crop", "box": box}, F.crop(images[name], top, left, height, width))

for name, size in [("17x13", 8), ("17x13", [5, 16]), ("33x21", [24, 10]), ("5x3", 6), ("1x7", [4, 4]), ("32x32", 32)]:
    case(name, {"op": "center_crop", "size": size}, F.center_crop(images[name], size))

for name in images:
    if name != "40x57":
        case(name, {"op": "horizontal_flip"}, F.hflip(images[name]))
        case(name, {"op": "grayscale"}, F.rgb_to_grayscale(images[name], 3))

for factor in [0, 0.3, 0.6, 0.999, 1, 1.0001, 1.37, 2.5, 40]:
    for name in ["17x13", "5x3"]:
        case(name, {"op": "brightness", "factor": factor}, F.adjust_brightness(images[name], factor))
        case(name, {"op": "contrast", "factor": factor}, F.adjust_contrast(images[name], factor))
        case(name, {"op": "saturation", "factor": factor}, F.adjust_saturation(images[name], factor))
case("33x21", {"op": "contrast", "factor": 0.8}, F.adjust_contrast(images["33x21"], 0.8))
case("1x1", {"op": "contrast", "factor": 1.4}, F.adjust_contrast(images["1x1"], 1.4))

for factor in [-0.5, -0.31, -0.1, -0.003, 0, 0.004, 0.07, 0.25, 0.4999, 0.5]:
    case("17x13", {"op": "hue", "factor": factor}, F.adjust_hue(images["17x13"], factor))

for threshold in [0, 1, 99.5, 128, 255, 256]:
    case("17x13", {"op": "solarize", "threshold": threshold}, F.solarize(images["17x13"], threshold))

for sigma in [0.1, 0.25, 0.5, 0.8, 1, 1.3, 1.77, 2, 3.6, 9, 40]:
    for name in ["1x1", "1x7", "9x1", "5x3", "17x13", "32x32"] if sigma in (0.1, 1.3, 9) else ["33x21"]:
        op = {"op": "gaussian_blur", "kind": "pillow", "sigma": sigma}
        case(name, op, images[name].filter(ImageFilter.GaussianBlur(sigma)))

for kernel, sigma in [(1, 1), (3, 0.1), (3, 0.7), (3, 2), (5, 1.1), (9, 1.9), (23, 0.4), (23, 2), (41, 7)]:
    for name in ["32x32", "40x57"] if kernel == 23 else ["33x21"] if kernel < 40 else ["40x57"]:
        op = {"op": "gaussian_blur", "kind": "torchvision", "kernel": kernel, "sigma": sigma}
        case(name, op, F.gaussian_blur(images[name], kernel, sigma))
case("5x3", {"op": "gaussian_blur", "kind": "torchvision", "kernel": 5, "sigma": 1.5}, F.gaussian_blur(images["5x3"], 5, 1.5))

# Rotation, shift, scale and shear, fixed. The first without rotation and shear are
# Pillow's pure scaling, the last but one leaves the range of its fixed point.
MODES["nearest"] = InterpolationMode.NEAREST
for name, angle, translate, scale, shear, fill in [
    ("17x13", 0, [3, -2], 1, [0, 0], 0),
    ("17x13", 0, [0, 0], 1.7, [0, 0], [9, 200, 31]),
    ("33x21", 0, [-1, 4], 0.45, [0, 0], 77),
    ("32x32", 90, [0, 0], 1, [0, 0], 0),
    ("32x32", -45, [0, 0], 1, [0, 0], 0),
    ("33x21", 13.7, [2, 1], 0.9, [11, 0], [255, 0, 128]),
    ("33x21", -171.3, [-4, 0], 1.31, [-21.5, 8.25], 0),
    ("40x57", 5, [0, 0], 1, [-10, 0], 0),
    ("40x57", -29.99, [7, -9], 1, [0, 30], 128),
    ("5x3", 33, [1, 0], 1, [4, 5], 3),
    ("1x1", 20, [0, 0], 1, [10, 0], 200),
    ("40x57", 33, [8000, -8000], 0.02, [10, 80], 5),
    ("17x13", 360, [0, 0], 100, [0, 0], 0),
]:
    for mode in ["nearest", "bilinear"]:
        op = {"op": "affine", "angle": angle, "translate": translate, "scale": scale, "shear": shear, "interpolation": mode, "fill": fill}
        case(name, op, F.affine(images[name], angle, translate, scale, shear, MODES[mode], fill))


# Elastic deformation by given displacements, and the smoothing of noise.
def noise(n, offset, amplitude):
    """Between -amplitude and amplitude; the same in any language."""
    return np.array([amplitude * (((i + offset) * 2654435761 % 2**32) / 2**31 - 1) for i in range(n)], np.float32)


elastic, smoothed = [], []
for name, amplitude, fill in [("17x13", 0.05, [0, 0, 0]), ("33x21", 0.2, [10, 200, 90]), ("32x32", 0.02, [0, 0, 0]), ("5x3", 0.9, [255, 255, 255]), ("40x57", 3, [7, 8, 9]), ("1x1", 0.1, [0, 0, 0])]:
    for mode in ["bilinear", "nearest"]:
        w, h = images[name].size
        d = np.stack([noise(w * h, 1, amplitude).reshape(h, w), noise(w * h, 7000, amplitude).reshape(h, w)], -1)
        result = F.elastic_transform(images[name], torch.from_numpy(d[None]), MODES[mode], [float(f) for f in fill])
        elastic.append({"image": name, "amplitude": amplitude, "fill": fill, "bilinear": mode == "bilinear"} | store(result))
for w, h, sigma in [(17, 13, 0.4), (17, 13, 1.5), (40, 57, 4)]:
    k = int(8 * sigma + 1) | 1
    field = F.gaussian_blur(torch.from_numpy(noise(w * h, 3, 1).reshape(1, 1, h, w)), [k, k], [sigma, sigma])
    smoothed.append({"w": w, "h": h, "sigma": sigma, "field": [float(f"{v:.6g}") for v in field.flatten().tolist()]})

# Shifts with mirrored fill: [dx, dy] to the right and down.
shifts = []
for name, dx, dy in [("17x13", 4, -3), ("17x13", -4, 4), ("32x32", 0, 2), ("5x3", 3, -2), ("5x3", -4, 1)]:
    pixels = np.asarray(images[name])
    padded = np.pad(pixels, ((abs(dy), abs(dy)), (abs(dx), abs(dx)), (0, 0)), mode="reflect")
    top, left = abs(dy) - dy, abs(dx) - dx
    moved = padded[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    shifts.append({"image": name, "dx": dx, "dy": dy} | store(Image.fromarray(np.ascontiguousarray(moved))))

# Operators one after another, as a policy does: a box that is scaled from its
# own pixels only, colours at the target size, the odd widths that follow.
sequences = []


def sequence(name, ops, result):
    sequences.append({"image": name, "ops": ops} | store(result))


for name, box, size, mode in [
    ("40x57", [5, 9, 22, 31], [16, 16], "bilinear"),
    ("40x57", [0, 30, 40, 10], [24, 24], "bicubic"),
    ("33x21", [7, 3, 16, 12], [16, 16], "bilinear"),
    ("17x13", [16, 0, 1, 13], [8, 8], "bicubic"),
]:
    left, top, width, height = box
    ops = [{"op": "crop", "box": box}, {"op": "resize", "size": size, "interpolation": mode}]
    sequence(name, ops, resized_crop(images[name], top, left, height, width, size, mode))

for name, short, size in [("33x21", 16, 14), ("40x57", 18, 16), ("40x57", 40, 32), ("5x3", 9, 8), ("9x1", 6, 6), ("9x1", 3, 6)]:
    ops = [{"op": "resize", "size": short, "interpolation": "bilinear"}, {"op": "center_crop", "size": size}]
    sequence(name, ops, F.center_crop(resize(images[name], short), size))

# Parts with edges inside pixels, as of pictures decoded at 1/scale: a box of the
# whole picture, and the whole pixels around it, beyond which nothing is read.
areas = []
for name, box, scale, size, mode in [
    ("40x57", [3, 9, 61, 44], 2, [13, 13], "bilinear"),
    ("40x57", [3, 9, 61, 44], 2, [22, 30], "bicubic"),
    ("40x57", [100, 17, 203, 410], 8, [9, 40], "bilinear"),
    ("40x57", [1, 2, 9, 9], 8, [3, 3], "bilinear"),
    ("40x57", [5, 1, 64, 99], 4, [12, 15], "bicubic"),
    ("40x57", [8, 4, 84, 200], 4, [19, 19], "bilinear"),
    ("33x21", [1, 3, 63, 39], 2, [18, 31], "bilinear"),
    ("33x21", [7, 2, 130, 80], 4, [8, 8], "bilinear"),
    ("33x21", [0, 0, 129, 83], 4, [21, 33], "bilinear"),
    ("17x13", [2, 4, 30, 25], 2, [10, 14], "bicubic"),
]:
    part = [v / scale for v in box]
    left, top, right, bottom = int(part[0]), int(part[1]), -int(-part[2] // 1), -int(-part[3] // 1)
    pixels = images[name].crop((left, top, right, bottom))
    mapped = (part[0] - left, part[1] - top, part[2] - left, part[3] - top)
    result = pixels.resize(size[::-1], getattr(Image.Resampling, mode.upper()), box=mapped)
    areas.append({"image": name, "box": box, "scale": scale, "interpolation": mode} | store(result))

result = resized_crop(images["33x21"], 2, 4, 17, 25, [20, 20])
result = F.adjust_saturation(F.adjust_hue(F.adjust_contrast(F.adjust_brightness(result, 1.21), 0.83), -0.07), 1.3)
result = F.hflip(result.filter(ImageFilter.GaussianBlur(0.9)))
sequence(
    "33x21",
    [
        {"op": "crop", "box": [4, 2, 25, 17]},
        {"op": "resize", "size": [20, 20]},
        {"op": "brightness", "factor": 1.21},
        {"op": "contrast", "factor": 0.83},
        {"op": "hue", "factor": -0.07},
        {"op": "saturation", "factor": 1.3},
        {"op": "gaussian_blur", "sigma": 0.9},
        {"op": "horizontal_flip"},
    ],
    result,
)

# Every colour once: pixel n of a 4096x4096 picture is (n>>16, n>>8, n) mod 256.
n = np.arange(1 << 24)
colours = np.stack([n >> 16, (n >> 8) & 255, n & 255], -1).astype(np.uint8).reshape(4096, 4096, 3)
colours = Image.fromarray(colours, "RGB")


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


every_colour = [{"op": {"op": "grayscale"}, "sha256": digest(F.rgb_to_grayscale(colours, 3))}]
for factor in [0, 0.1, -0.37]:
    every_colour.append({"op": {"op": "hue", "factor": factor}, "sha256": digest(F.adjust_hue(colours, factor))})
for factor in [0.61, 1.4]:
    every_colour.append({"op": {"op": "saturation", "factor": factor}, "sha256": digest(F.adjust_saturation(colours, factor))})

manifest = {
    "made_with": f"Pillow {PIL.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}, numpy {np.__version__}, seed {SEED}",
    "command": "python3 augment/testdata/golden.py",
    "images": {name: store(image) for name, image in images.items()},
    "cases": cases,
    "shifts": shifts,
    "elastic": elastic,
    "smoothed": smoothed,
    "sequences": sequences,
    "areas": areas,
    "every_colour": every_colour,
}


def lines(value):
    return ",\n".join(" " + json.dumps(v) for v in value)


parts = []
for key, value in manifest.items():
    parts.append(f'"{key}": ' + (f"[\n{lines(value)}\n]" if isinstance(value, list) else json.dumps(value)))
(HERE / "golden.json").write_text("{" + ",\n".join(parts) + "}\n")
(HERE / "golden.bin").write_bytes(blob)
