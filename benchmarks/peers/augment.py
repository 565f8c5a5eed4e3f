"""Pairs of views by one of the peers, from JPEG files in memory.

The policies are those of clpipe's moco-v2 and moco-cifar. Views leave as uint8,
as clpipe's do. "pil" is the usual pipeline of torchvision on Pillow images,
"tensor" decodes and transforms tensors by torchvision's v2, "opencv" and
"opencv-area" work on arrays, all in a DataLoader; "spdl", "dali" and "ffcv" drive themselves.
"""
import argparse, io
import torch, torchvision
from PIL import Image, ImageFilter
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

import shards, worker
from policies import POLICIES


class PillowBlur:
    """MoCo v2's blur: Pillow's, of a random radius."""

    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(radius=torch.empty(1).uniform_(0.1, 2.0).item()))


def transform(policy, size, kind):
    """torchvision's transforms of a policy."""
    t = v1 if kind == "pil" else v2
    blur = PillowBlur() if kind == "pil" else v2.GaussianBlur(23, policy.sigma)
    crop = t.RandomResizedCrop(size, scale=policy.scale, **({} if kind == "pil" else dict(antialias=True)))
    jitter = t.RandomApply([t.ColorJitter(policy.strength, policy.strength, policy.strength, policy.hue)], p=policy.jitter)
    ops = [crop, jitter, t.RandomGrayscale(policy.gray)]
    if policy.blur > 0:
        ops.append(t.RandomApply([blur], p=policy.blur))
    ops.append(t.RandomHorizontalFlip(policy.flip))
    return t.Compose(ops + ([v1.PILToTensor()] if kind == "pil" else []))


def decode(file, kind):
    if kind == "pil":
        return Image.open(io.BytesIO(file)).convert("RGB")
    return decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8), mode=ImageReadMode.RGB)


class Pairs(torch.utils.data.Dataset):
    """Two views by torchvision."""

    def __init__(self, files, policy, size, kind):
        self.files, self.transform, self.kind = files, transform(policy, size, kind), kind

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        image = decode(self.files[i], self.kind)
        return self.transform(image), self.transform(image)


class OpenCVPairs(torch.utils.data.Dataset):
    """Two views by OpenCV."""

    def __init__(self, files, policy, size, area):
        self.files, self.policy, self.size, self.area = files, policy, size, area

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        import opencv

        image = opencv.decode(self.files[i])
        return tuple(torch.from_numpy(opencv.view(image, self.size, self.policy, self.area)) for _ in range(2))


def single_threaded(_):
    import cv2

    cv2.setNumThreads(1)


class Loader:
    """One epoch of a DataLoader a call."""

    def __init__(self, dataset, batch, workers, **options):
        self.loader = torch.utils.data.DataLoader(dataset, batch_size=batch, num_workers=workers, persistent_workers=True, shuffle=True, **options)

    def run(self):
        for _ in self.loader:
            pass


def peer(a, files, policy):
    """What makes all pairs once, and versions."""
    if a.kind in ("opencv", "opencv-area"):
        cv2 = worker.need("cv2")
        return Loader(OpenCVPairs(files, policy, a.size, a.kind == "opencv-area"), a.batch, a.threads, worker_init_fn=single_threaded), {"opencv": cv2.__version__}
    if a.kind == "spdl":
        cv2 = worker.need("cv2")
        import spdl_views

        cv2.setNumThreads(1)
        return spdl_views.Pairs(files, policy, a.size, a.threads), spdl_views.facts()
    if a.kind == "dali":
        version = worker.need("nvidia.dali").__version__
        import dali

        return dali.Epoch(files, a.batch, lambda **options: dali.pairs(a.size, policy, **options), a.threads), {"dali": version}
    if a.kind == "ffcv":
        worker.need("ffcv")
        import importlib.metadata
        import ffcv_views

        return ffcv_views.Pairs(files, policy, a.size, a.batch, a.threads), {"ffcv": importlib.metadata.version("ffcv")}
    return Loader(Pairs(files, policy, a.size, a.kind), a.batch, a.threads), {"torch": torch.__version__, "torchvision": torchvision.__version__}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--src", required=True)
    p.add_argument("--limit", type=int, default=256)
    p.add_argument("--policy", choices=POLICIES, required=True)
    p.add_argument("--size", type=int, required=True)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--kind", choices=["pil", "tensor", "opencv", "opencv-area", "spdl", "dali", "ffcv"], required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    files = shards.files(a.src, a.limit)
    made, versions = peer(a, files, POLICIES[a.policy])
    worker.serve([("total", len(files), made.run)], **versions)


if __name__ == "__main__":
    main()
