"""The detector in PyTorch, float64, written from "Objects as Points" (arXiv
1904.07850) as an independent judge of package detect: what the heatmap should be,
the loss with its gradients by autograd, peaks by max-pooling, and five steps of Adam
on a ResNet-18 with a 3x3 stem, its trunk learning or frozen. Weights, pixels and boxes
come from a hash of their place.

    python encoder/detect/testdata/detector.py

writes detector.json beside itself.
"""
import json, math, os, platform, sys
import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "contrast", "testdata"))
import inbatch
import selfsupervised as judge
from moco import hashed

CFG = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
CLASSES = 3


def boxes(seed, count, size):
    """count boxes of a square view with their classes; the second shares the first's centre."""
    u = hashed(seed, 5 * count).reshape(count, 5)
    w, h = 2 + u[:, 2] * size * 0.6, 2 + u[:, 3] * size * 0.6
    x, y = u[:, 0] * (size - w), u[:, 1] * (size - h)
    b = np.stack([x, y, x + w, y + h], 1)
    if count > 1:
        c = (b[0, :2] + b[0, 2:]) / 2
        half = (b[1, 2:] - b[1, :2]) / 2
        b[1] = np.concatenate([c - half, c + half])
    return b, (u[:, 4] * CLASSES).astype(int)


def targets(b, cls, grid, stride):
    """Heat [classes, H, W], centres' cells, sizes and offsets in cells."""
    h, w = grid
    heat = torch.zeros(CLASSES, h, w, dtype=torch.float64)
    ys, xs = torch.meshgrid(torch.arange(h, dtype=torch.float64), torch.arange(w, dtype=torch.float64), indexing="ij")
    cells, size, offset = [], [], []
    for (x0, y0, x1, y1), c in zip(b / stride, cls):
        cx, cy, bw, bh = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        ix, iy = int(min(max(math.floor(cx), 0), w - 1)), int(min(max(math.floor(cy), 0), h - 1))
        sx, sy = max(0.5, 0.54 * bw / 6), max(0.5, 0.54 * bh / 6)
        g = torch.exp(-((xs - ix) ** 2 / (2 * sx * sx) + (ys - iy) ** 2 / (2 * sy * sy)))
        heat[c] = torch.maximum(heat[c], g)
        cells.append((iy, ix))
        size.append((bw, bh))
        offset.append((cx - ix, cy - iy))
    return heat, cells, torch.tensor(size, dtype=torch.float64), torch.tensor(offset, dtype=torch.float64)


def loss(heat, size, offset, truths, stride):
    """Parts of the loss of maps [N, C, H, W]: focal, L1 of sizes, L1 of offsets, by the objects of the batch."""
    grid, objects = heat.shape[2:], max(1, sum(len(b) for b, _ in truths))
    total = [0, 0, 0]
    for n, (b, cls) in enumerate(truths):
        y, cells, want_size, want_offset = targets(b, cls, grid, stride)
        log_p, log_not = F.logsigmoid(heat[n]), F.logsigmoid(-heat[n])
        p = torch.sigmoid(heat[n])
        positive = y == 1
        total[0] = total[0] - torch.where(positive, (1 - p) ** 2 * log_p, (1 - y) ** 4 * p**2 * log_not).sum() / objects
        for i, (iy, ix) in enumerate(cells):
            total[1] = total[1] + (size[n, :, iy, ix] - want_size[i]).abs().sum() / objects
            total[2] = total[2] + (offset[n, :, iy, ix] - want_offset[i]).abs().sum() / objects
    return total


def losses():
    n, h, w, stride = 2, 6, 6, 8
    maps = [torch.tensor((hashed(seed, n * c * h * w).reshape(n, h, w, c) - 0.5) * 6).movedim(-1, 1).requires_grad_()
            for seed, c in ((1, CLASSES), (2, 2), (3, 2))]
    truths = [boxes(4, 5, w * stride), boxes(5, 0, w * stride)]
    parts = loss(*maps, truths, stride)
    (parts[0] + 0.1 * parts[1] + parts[2]).backward()
    heat, _, _, _ = targets(*truths[0], (h, w), stride)
    peaks = []
    for i in range(n):
        x = maps[0][i].detach()
        best = F.max_pool2d(x[None], 3, 1, 1)[0] == x
        found = []
        for c, iy, ix in best.nonzero().tolist():
            ox, oy = maps[2][i, :, iy, ix].tolist()
            bw, bh = (max(0, v) for v in maps[1][i, :, iy, ix].tolist())
            cx, cy = (ix + ox) * stride, (iy + oy) * stride
            half = (bw * stride / 2, bh * stride / 2)
            found.append([c, torch.sigmoid(x[c, iy, ix]).item(), cx - half[0], cy - half[1], cx + half[0], cy + half[1]])
        peaks.append(sorted(found, key=lambda f: -f[1])[:100])
    return dict(parts=[p.item() for p in parts], heat=heat.movedim(0, -1).ravel().tolist(),
                gradients=[m.grad.movedim(1, -1).ravel().tolist() for m in maps], peaks=peaks)


def training(frozen):
    seed, side, stride, n, steps, lr, width = 6, 32, 8, 4, 5, 0.001, 0.0625
    net = judge.Net()
    channels = max(1, round(512 * width))
    mean, var = torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64)

    def maps(x, learning=True):
        net.training = learning and not frozen
        cells = inbatch.resnet18_map(net, judge.image(x, CFG), width)
        if frozen:
            cells = cells.detach()
        cells = F.batch_norm(cells, mean, var, None, None, learning, 0.1, 1e-5)
        y = F.relu(net.conv(cells, "head.conv", 64, 3, 1, 1, bias=True))
        return [net.conv(y, "head." + name, c, 1, bias=True) for name, c in (("heatmap", CLASSES), ("size", 2), ("offset", 2))]

    def pixels(step):
        return (hashed(seed * 100 + step, n * side * side * 3) * 255).astype(np.uint8).reshape(n, side, side, 3)

    maps(pixels(0))
    net.initial(seed)
    net.running.clear()
    mean.zero_(), var.fill_(1)
    before = {k: v.detach().clone() for k, v in net.p.items()}
    opt = torch.optim.Adam([v for k, v in net.p.items() if not frozen or k.startswith("head.")], lr)
    out = []
    for step in range(steps):
        truths = [boxes(seed * 1000 + step * n + i, 1 + i, side) for i in range(n)]
        opt.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        opt.zero_grad()
        parts = loss(*maps(pixels(step)), truths, stride)
        total = parts[0] + 0.1 * parts[1] + parts[2]
        total.backward()
        opt.step()
        out.append(total.item())
    moved = {k: (v - before[k]).norm().item() for k, v in net.p.items()}
    with torch.no_grad():
        after = [m.movedim(1, -1).ravel().tolist() for m in maps(pixels(0), False)]
    return dict(losses=out, moved=moved, after=after)


def main():
    torch.set_num_threads(1)
    versions = dict(torch=torch.__version__, numpy=np.__version__, python=platform.python_version())
    golden = dict(command="python encoder/detect/testdata/detector.py", versions=versions, maps=losses(),
                  learning=training(False), frozen=training(True))
    with open(os.path.join(HERE, "detector.json"), "w") as f:
        json.dump(golden, f, indent=1)


if __name__ == "__main__":
    main()
