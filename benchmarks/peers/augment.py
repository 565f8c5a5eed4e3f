"""Pairs of views by one of the peers, from JPEG files in memory.

The policies are clpipe's: moco-v2 and moco-cifar by every peer, the other
methods' (policies.py) by torchvision alone. Views leave as uint8,
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
    """torchvision's transforms of a policy, as far as they make one view by itself."""
    t = v1 if kind == "pil" else v2
    tensors = {} if kind == "pil" else dict(antialias=True)
    if policy.scale:
        filter = v1.InterpolationMode.BICUBIC if policy.bicubic else v1.InterpolationMode.BILINEAR
        ops = [t.RandomResizedCrop(size, scale=policy.scale, interpolation=filter, **tensors)]
    else:
        ops = [t.Resize(size, **tensors), t.CenterCrop(size)]
    if policy.shift > 0:
        ops.append(t.RandomApply([t.RandomCrop(size, padding=policy.shift, padding_mode="reflect")], p=0.8))
    if policy.jitter > 0:
        ops.append(t.RandomApply([t.ColorJitter(policy.strength, policy.strength, policy.strength, policy.hue)], p=policy.jitter))
    if policy.gray > 0:
        ops.append(t.RandomGrayscale(policy.gray))
    if policy.blur > 0:
        blur = PillowBlur() if kind == "pil" else v2.GaussianBlur(23, policy.sigma)
        ops.append(t.RandomApply([blur], p=policy.blur))
    if policy.flip > 0 and not policy.alike:
        ops.append(t.RandomHorizontalFlip(policy.flip))
    return t.Compose(ops + ([v1.PILToTensor()] if kind == "pil" else []))


class Views:
    """All views of an image, [3,size,size] or [7,7,3,p,p] each, uint8."""

    def __init__(self, policy, size, kind):
        self.policy, self.one, self.flip = policy, transform(policy, size, kind), v2.RandomHorizontalFlip(policy.flip)

    def __call__(self, image):
        if self.policy.alike:
            image = self.flip(image)
        views = [self.one(image) for _ in range(self.policy.views)]
        return tuple(map(patches, views)) if self.policy.patches else tuple(views)


def patches(image, grid=7):
    """[3,s,s] to [grid,grid,3,p,p], p a quarter of s and the stride half of that. Each
    is cropped by one pixel or two at random and put back into black, loses two
    channels at p 0.5, and is flipped at p 0.5: all of them at once, by indices."""
    side, n = image.shape[1] // 4, grid * grid
    draw = lambda high: torch.randint(high, (n, 1))
    margin, at = 1 + draw(2), torch.arange(side)
    left = margin // 2
    inside = (at >= left) & (at < left + side - margin)  # the same for rows and columns

    def source(place):  # of each patch's rows or columns in the image
        moved = at - left + (torch.rand(n, 1) * (margin + 1)).long()
        return (place * side // 2)[:, None] + torch.where(inside, moved, 0)

    rows, columns = source(torch.arange(n) // grid), source(torch.arange(n) % grid)
    mirrored = draw(2).bool()
    columns = torch.where(mirrored, columns.flip(1), columns)
    shown = inside[:, :, None] & torch.where(mirrored, inside.flip(1), inside)[:, None]
    kept = (torch.arange(3) == draw(3)) | draw(2).bool()
    cut = image[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)
    return (cut * (shown[:, None] & kept[:, :, None, None])).view(grid, grid, 3, side, side)


def decode(file, kind):
    if kind == "pil":
        return Image.open(io.BytesIO(file)).convert("RGB")
    return decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8), mode=ImageReadMode.RGB)


class Pairs(torch.utils.data.Dataset):
    """Two views by torchvision."""

    def __init__(self, files, policy, size, kind):
        self.files, self.views, self.kind = files, Views(policy, size, kind), kind

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.views(decode(self.files[i], self.kind))


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
