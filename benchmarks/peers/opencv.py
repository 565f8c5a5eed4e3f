"""Views by OpenCV's functions on NumPy arrays, and files decoded by it."""
import math, random
import cv2
import numpy as np

COLOURS = ("brightness", "contrast", "saturation", "hue")


def decode(file):
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def crop(image, scale):
    """torchvision's RandomResizedCrop without the resizing."""
    h, w = image.shape[:2]
    low, high = math.log(3 / 4), math.log(4 / 3)
    for _ in range(10):
        area, ratio = w * h * random.uniform(*scale), math.exp(random.uniform(low, high))
        cw, ch = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < cw <= w and 0 < ch <= h:
            top, left = random.randint(0, h - ch), random.randint(0, w - cw)
            return image[top : top + ch, left : left + cw]
    cw, ch = min(w, round(h * 4 / 3)), min(h, round(w * 4 / 3))
    top, left = (h - ch) // 2, (w - cw) // 2
    return image[top : top + ch, left : left + cw]


def jitter(image, policy):
    for op in random.sample(COLOURS, len(COLOURS)):
        if op == "hue":
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
            hsv[..., 0] += np.uint8(round(255 * random.uniform(-policy.hue, policy.hue)) % 256)
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
            continue
        factor = random.uniform(1 - policy.strength, 1 + policy.strength)
        if op == "brightness":
            image = cv2.convertScaleAbs(image, alpha=factor)
        elif op == "contrast":
            mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
            image = cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)
        else:
            image = cv2.addWeighted(image, factor, gray(image), 1 - factor, 0)
    return image


def gray(image):
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def view(image, size, policy, area=False):
    """A view of [H,W,3]. Apart from clpipe's policy the blur is a true Gaussian,
    and INTER_LINEAR, which is OpenCV's fastest, does not average what it makes
    smaller; with area, INTER_AREA does where that is so."""
    cut = crop(image, policy.scale)
    smaller = area and cut.shape[0] > size and cut.shape[1] > size
    v = cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    if random.random() < policy.jitter:
        v = jitter(v, policy)
    if random.random() < policy.gray:
        v = gray(v)
    if random.random() < policy.blur:
        v = cv2.GaussianBlur(v, (0, 0), random.uniform(*policy.sigma))
    if random.random() < policy.flip:
        v = cv2.flip(v, 1)
    return v
