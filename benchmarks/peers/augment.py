"""Pairs of views by torchvision's transforms in a DataLoader, from JPEG files in memory.

The policies are those of clpipe's moco-v2 and moco-cifar. Views leave as uint8,
as clpipe's do. "pil" is the usual pipeline on Pillow images; "tensor" decodes
and transforms tensors by torchvision's v2.
"""
import argparse, io
import torch, torchvision
from PIL import Image, ImageFilter
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

import shards, worker


class PillowBlur:
    """MoCo v2's blur: Pillow's, of a random radius."""

    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(radius=torch.empty(1).uniform_(0.1, 2.0).item()))


def policy(name, size, kind):
    t = v1 if kind == "pil" else v2
    blur = PillowBlur() if kind == "pil" else v2.GaussianBlur(23, (0.1, 2.0))
    crop = {} if kind == "pil" else dict(antialias=True)
    jitter = t.RandomApply([t.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    gray, flip = t.RandomGrayscale(p=0.2), t.RandomHorizontalFlip()
    if name == "moco-cifar":
        ops = [t.RandomResizedCrop(size, scale=(0.08, 1), **crop), flip, jitter, gray]
    else:
        ops = [t.RandomResizedCrop(size, scale=(0.2, 1), **crop), jitter, gray, t.RandomApply([blur], p=0.5), flip]
    return t.Compose(ops + ([v1.PILToTensor()] if kind == "pil" else []))


class Pairs(torch.utils.data.Dataset):
    def __init__(self, files, transform, kind):
        self.files, self.transform, self.kind = files, transform, kind

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        if self.kind == "pil":
            image = Image.open(io.BytesIO(self.files[i])).convert("RGB")
        else:
            image = decode_jpeg(torch.frombuffer(bytearray(self.files[i]), dtype=torch.uint8), mode=ImageReadMode.RGB)
        return self.transform(image), self.transform(image)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--src", required=True)
    p.add_argument("--limit", type=int, default=256)
    p.add_argument("--policy", choices=["moco-v2", "moco-cifar"], required=True)
    p.add_argument("--size", type=int, required=True)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--kind", choices=["pil", "tensor"], required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    files = shards.files(a.src, a.limit)
    loader = torch.utils.data.DataLoader(Pairs(files, policy(a.policy, a.size, a.kind), a.kind), batch_size=a.batch, num_workers=a.threads,
                                         persistent_workers=True, shuffle=True)

    def epoch():
        for _ in loader:
            pass

    worker.serve([("total", len(files), epoch)], torch=torch.__version__, torchvision=torchvision.__version__)


if __name__ == "__main__":
    main()
