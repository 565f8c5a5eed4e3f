"""The detector of `clpipe detect` in PyTorch and torchvision: the same network, views,
objective and schedule, with PyTorch's own loader, from the weights that `clpipe export`
writes or from random ones. It prints average precisions (VOC's, of 11 recalls) and the
images trained a second, a JSON object for each seed.

    clpipe export --run runs/cifar -o encoder.safetensors
    python benchmarks/peers/detect_torch.py --weights encoder.safetensors --voc VOC --epochs 24
    python benchmarks/peers/detect_torch.py --weights encoder.safetensors --random --frozen --voc VOC
"""
import argparse, json, math, os, time, xml.etree.ElementTree as ET
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torchvision import models, tv_tensors
from torchvision.transforms import v2

MEANS = {"imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), "cifar10": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])}


class Objects(torch.utils.data.Dataset):
    def __init__(self, voc, name, size, train, classes=None):
        names = open(os.path.join(voc, "ImageSets", "Main", name + ".txt")).read().split()
        self.images, self.size = [], size
        for n in names:
            objects = []
            for o in ET.parse(os.path.join(voc, "Annotations", n + ".xml")).getroot().findall("object"):
                x0, y0, x1, y1 = (float(o.find("bndbox").find(k).text) for k in ("xmin", "ymin", "xmax", "ymax"))
                objects.append((o.find("name").text, [x0 - 1, y0 - 1, x1, y1], o.findtext("difficult", "0").strip() == "1"))
            self.images.append((os.path.join(voc, "JPEGImages", n + ".jpg"), objects))
        self.classes = classes or sorted({o[0] for _, objects in self.images for o in objects})
        crop = [v2.RandomResizedCrop(size, scale=(0.5, 1), antialias=True), v2.RandomHorizontalFlip()]
        self.views = v2.Compose(crop if train else [v2.Resize((size, size), antialias=True)])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        path, objects = self.images[i]
        image = v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))
        boxes = torch.tensor([b for _, b, _ in objects], dtype=torch.float32).reshape(-1, 4)
        # Where a box goes shows its centre, which clamping would move.
        corners = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=image.shape[1:], clamping_mode=None)
        image, corners = self.views(tv_tensors.Image(image), corners)
        b, labels = corners.as_subclass(torch.Tensor), torch.tensor([self.classes.index(o[0]) for o in objects])
        centre = (b[:, :2] + b[:, 2:]) / 2
        inside = ((centre >= 0) & (centre < self.size)).all(1)
        return image.as_subclass(torch.Tensor), b[inside].clamp(0, self.size), labels[inside], i


def collate(rows):
    return torch.stack([r[0] for r in rows]), [(r[1], r[2]) for r in rows], [r[3] for r in rows]


class Detector(nn.Module):
    def __init__(self, weights, classes, random, frozen, normalize):
        super().__init__()
        width = weights["conv1.weight"].shape[0]
        cifar = weights["conv1.weight"].shape[2] == 3
        trunk = models.resnet18()
        scale = width / 64
        if scale != 1:
            narrow(trunk, scale)
        if cifar:
            trunk.conv1, trunk.maxpool = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.Identity()
        if not random:
            missing, _ = trunk.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fc.")}, strict=False)
            assert all(k.startswith("fc.") for k in missing), missing
        layers = [trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool, trunk.layer1, trunk.layer2, trunk.layer3]
        self.trunk = nn.Sequential(*layers, *([trunk.layer4] if cifar else []))
        self.stride, self.frozen = (8 if cifar else 16), frozen
        channels = round((512 if cifar else 256) * scale)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in MEANS[normalize])
        self.register_buffer("mean", mean), self.register_buffer("std", std)
        self.head = nn.Sequential(nn.BatchNorm2d(channels, affine=False), nn.Conv2d(channels, 64, 3, 1, 1), nn.ReLU())
        self.out = nn.ModuleList([nn.Conv2d(64, c, 1) for c in (classes, 2, 2)])
        nn.init.constant_(self.out[0].bias, -2.19)
        if frozen:
            self.trunk.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def forward(self, images):
        x = self.trunk((images.float() / 255 - self.mean) / self.std)
        x = self.head(x)
        return [o(x) for o in self.out]


def narrow(net, scale):
    """Gives every layer its share of the channels."""
    for name, module in list(net.named_modules()):
        parent = net.get_submodule(name.rpartition(".")[0])
        n = lambda c: max(1, round(c * scale))
        if isinstance(module, nn.Conv2d):
            new = nn.Conv2d(3 if module.in_channels == 3 else n(module.in_channels), n(module.out_channels), module.kernel_size, module.stride, module.padding, bias=False)
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            new = nn.BatchNorm2d(n(module.num_features))
        else:
            continue
        setattr(parent, name.rpartition(".")[2], new)


def loss(maps, truths, stride):
    heat, size, offset = maps
    n, c, h, w = heat.shape
    want = torch.zeros_like(heat)
    ys, xs = torch.arange(h).view(-1, 1), torch.arange(w).view(1, -1)
    at, sizes, offsets = [], [], []
    for i, (boxes, labels) in enumerate(truths):
        for b, k in zip((boxes / stride).tolist(), labels.tolist()):
            cx, cy, bw, bh = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]
            ix, iy = min(max(int(cx), 0), w - 1), min(max(int(cy), 0), h - 1)
            sx, sy = max(0.5, 0.54 * bw / 6), max(0.5, 0.54 * bh / 6)
            g = torch.exp(-((xs - ix) ** 2 / (2 * sx * sx) + (ys - iy) ** 2 / (2 * sy * sy)))
            want[i, k] = torch.maximum(want[i, k], g)
            at.append((i, iy, ix)), sizes.append((bw, bh)), offsets.append((cx - ix, cy - iy))
    p = torch.sigmoid(heat)
    total = -torch.where(want == 1, (1 - p) ** 2 * F.logsigmoid(heat), (1 - want) ** 4 * p**2 * F.logsigmoid(-heat)).sum()
    if at:
        i, y, x = torch.tensor(at).T
        total = total + 0.1 * (size[i, :, y, x] - torch.tensor(sizes)).abs().sum() + (offset[i, :, y, x] - torch.tensor(offsets)).abs().sum()
    return total / max(1, len(at))


@torch.no_grad()
def find(net, data, batch):
    net.eval()
    found = [[] for _ in data.classes]
    for images, _, rows in torch.utils.data.DataLoader(data, batch, collate_fn=collate):
        heat, size, offset = net(images)
        peaks = torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, -torch.inf).flatten(1)
        best, where = peaks.topk(min(100, peaks.shape[1]))
        for i, row in enumerate(rows):
            w, h = Image.open(data.images[row][0]).size
            for s, k in zip(best[i].tolist(), where[i].tolist()):
                c, y, x = k // heat[0, 0].numel(), k % heat[0, 0].numel() // heat.shape[3], k % heat.shape[3]
                ox, oy = offset[i, :, y, x].tolist()
                bw, bh = (max(0, v) * net.stride / 2 for v in size[i, :, y, x].tolist())
                cx, cy = (x + ox) * net.stride, (y + oy) * net.stride
                b = np.array([cx - bw, cy - bh, cx + bw, cy + bh]) * np.array([w, h, w, h]) / data.size
                if s > -math.inf:
                    found[c].append((s, row, b.clip(0, [w, h, w, h])))
    return found


def average_precisions(data, found):
    thresholds = np.arange(0.5, 1, 0.05)
    table = []
    for c, name in enumerate(data.classes):
        truths = [[(np.array(b), d) for n, b, d in objects if n == name] for _, objects in data.images]
        positives = sum(not d for t in truths for _, d in t)
        if positives == 0:
            continue
        row = []
        for threshold in thresholds:
            used, right = [set() for _ in truths], []
            for _, image, b in sorted(found[c], key=lambda f: -f[0]):
                best, which = 0, -1
                for k, (t, _) in enumerate(truths[image]):
                    side = np.minimum(b[2:], t[2:]) - np.maximum(b[:2], t[:2])
                    if (side > 0).all():
                        both = side.prod()
                        overlap = both / ((b[2:] - b[:2]).prod() + (t[2:] - t[:2]).prod() - both)
                        if overlap > best:
                            best, which = overlap, k
                if best > threshold and truths[image][which][1]:
                    continue
                right.append(best > threshold and which not in used[image])
                used[image].add(which) if best > threshold else None
            tp = np.cumsum(right)
            recall, precision = tp / positives, tp / np.arange(1, len(right) + 1)
            row.append(np.mean([precision[recall >= r].max() if (recall >= r).any() else 0 for r in np.arange(0, 1.1, 0.1)]) if right else 0)
        table.append(row)
    m = np.mean(table, 0)
    return dict(ap50=m[0], ap=m.mean(), ap75=m[5])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weights", required=True, help="safetensors of a ResNet-18, which also says its width and stem")
    p.add_argument("--random", action="store_true", help="start from random weights of that network")
    p.add_argument("--frozen", action="store_true", help="the head alone learns")
    p.add_argument("--voc", required=True, help="folder with Annotations, JPEGImages, ImageSets")
    p.add_argument("--normalize", choices=MEANS, default="cifar10")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--epochs", type=int, default=24)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    weights = load_file(a.weights)
    train = Objects(a.voc, "trainval", a.size, True)
    test = Objects(a.voc, "test", a.size, False, train.classes)
    steps = a.epochs * len(train) // a.batch
    for seed in range(1, a.seeds + 1):
        torch.manual_seed(seed)
        net = Detector(weights, len(train.classes), a.random, a.frozen, a.normalize).to(memory_format=torch.channels_last)
        opt = torch.optim.Adam([v for v in net.parameters() if v.requires_grad], a.lr)
        warm, step, start = steps // 20, 0, time.perf_counter()
        net.train()
        while step < steps:
            loader = torch.utils.data.DataLoader(train, a.batch, shuffle=True, drop_last=True, collate_fn=collate, num_workers=a.threads, persistent_workers=False)
            for images, truths, _ in loader:
                rate = step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
                opt.param_groups[0]["lr"] = a.lr * rate
                opt.zero_grad()
                loss(net(images.contiguous(memory_format=torch.channels_last)), truths, net.stride).backward()
                opt.step()
                if (step := step + 1) == steps:
                    break
        rate = steps * a.batch / (time.perf_counter() - start)
        print(json.dumps(dict(init="random" if a.random else "trained", backbone="frozen" if a.frozen else "finetune", seed=seed, steps=steps,
                              images_per_s=rate, **average_precisions(test, find(net, test, a.batch)))), flush=True)


if __name__ == "__main__":
    main()
