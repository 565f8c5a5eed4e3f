"""MoCo in PyTorch, written from the paper's algorithm 1, as an independent judge.

Weights and pixels come from a hash of their place, so that golden files hold
results only: losses, and what two steps changed in each tensor, times 1000 in
half precision. Without arguments it writes moco_golden.json and
moco_golden.safetensors beside itself:

    python contrast/testdata/moco.py

Made with torch 2.x on one thread; see the "versions" entry of the golden file.
"""
import json, os, platform, sys
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

MASK = (1 << 64) - 1


def hashed(seed, n):
    """n uniform numbers in [0,1): the SplitMix64 finaliser over a counter."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / float(1 << 24)


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """ResNet-18 under torchvision's names, with a 3x3 or a 7x7 stem."""

    def __init__(self, width, dim, cifar=True, mlp=False):
        super().__init__()
        c = [max(1, round(w * width)) for w in (64, 128, 256, 512)]
        self.cifar = cifar
        self.conv1 = nn.Conv2d(3, c[0], 3, 1, 1, bias=False) if cifar else nn.Conv2d(3, c[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(c[0])
        cin = c[0]
        for i, cout in enumerate(c):
            stride = 1 if i == 0 else 2
            setattr(self, f"layer{i+1}", nn.Sequential(Block(cin, cout, stride), Block(cout, cout, 1)))
            cin = cout
        self.fc = nn.Sequential(nn.Linear(cin, cin), nn.ReLU(), nn.Linear(cin, dim)) if mlp else nn.Linear(cin, dim)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.cifar:
            x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return F.normalize(self.fc(x.mean((2, 3))), dim=1, eps=1e-12)


def initial(net, seed):
    """Hashed weights: kaiming-like for matrices, near 1 for gamma, near 0 for beta."""
    state = net.state_dict()
    for i, name in enumerate(sorted(state)):
        t = state[name]
        if not t.is_floating_point() or "running" in name:
            continue
        u = hashed(seed + i, t.numel()) * 2 - 1
        if t.dim() > 1:
            u *= (6.0 / (t.numel() / t.shape[0])) ** 0.5
        elif name.endswith("weight"):
            u = 1 + 0.2 * u
        else:
            u *= 0.1
        t.copy_(torch.from_numpy(u.astype(np.float32).reshape(t.shape)))
    net.load_state_dict(state)


def pairs(seed, step, n, side, local=0, local_side=0):
    """uint8 [n,side,side,3] anchors and positives: blobs, shifted and noisy; then
    the local views, [n,local_side,local_side,3] each."""
    base = hashed(seed * 1000 + step * 3, n * 4 * 4 * 3).reshape(n, 4, 4, 3)
    out = []
    for view in range(2 + local):
        noisy = seed * 1000 + step * 3 + 1 + view
        if view >= 2:
            side, noisy = local_side, seed * 1000 + 500 + step * local + view
        rows = (np.arange(side) * 4 + view) // side % 4
        img = base[:, rows][:, :, rows]
        noise = hashed(noisy, n * side * side * 3).reshape(n, side, side, 3)
        out.append(np.floor(img * 200 + noise * 55).astype(np.uint8))
    return out


class MoCo:
    def __init__(self, net, key, cfg, dtype=torch.float32):
        self.q, self.k, self.cfg = net.to(dtype), key.to(dtype), cfg
        self.k.load_state_dict(self.q.state_dict())
        self.q.train(); self.k.train()
        self.dtype = dtype
        self.queue = torch.zeros(0, cfg["dim"], dtype=dtype)
        self.opt = torch.optim.SGD(self.q.parameters(), cfg["lr"], momentum=0.9, weight_decay=cfg["weight_decay"])
        self.mean = torch.tensor(cfg["mean"], dtype=dtype).view(1, 3, 1, 1)
        self.std = torch.tensor(cfg["std"], dtype=dtype).view(1, 3, 1, 1)

    def pixels(self, x):
        return (torch.from_numpy(x).permute(0, 3, 1, 2).to(self.dtype) / 255 - self.mean) / self.std

    def direction(self, xq, xk):
        q = self.q(self.pixels(xq))
        with torch.no_grad():
            k = self.k(self.pixels(xk))
        return self.nce(q, k), k

    def nce(self, q, k):
        pos = (q * k).sum(1, keepdim=True)
        logits = torch.cat([pos, q @ self.queue.T], 1) / self.cfg["temperature"]
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))

    def step(self, anchor, positive, *local):
        c = self.cfg
        with torch.no_grad():
            for pk, pq in zip(self.k.parameters(), self.q.parameters()):
                pk.mul_(c["momentum"]).add_(pq, alpha=1 - c["momentum"])
        loss, keys = self.direction(anchor, positive)
        keys = [keys]
        if c.get("symmetric"):
            other, k = self.direction(positive, anchor)
            loss, keys = loss + other, [k] + keys  # those of the first view go first
        if local:  # further queries of the same keys; the mean over all of them
            loss = (loss + sum(self.nce(self.q(self.pixels(x)), keys[0]) for x in local)) / (1 + len(local))
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.queue = torch.cat([self.queue] + keys)[-c["queue"]:]
        return loss.item()


CIFAR10 = dict(mean=[.4914, .4822, .4465], std=[.2023, .1994, .2010])


def run(cfg, steps, dtype=torch.float32):
    """Trains and returns the losses and what two steps changed."""
    torch.set_num_threads(cfg.get("threads", 1))
    nets = [ResNet18(cfg["width"], cfg["dim"], cfg["cifar"], cfg["mlp"]) for _ in range(2)]
    initial(nets[0], cfg["seed"])
    before = {k: v.clone() for k, v in nets[0].state_dict().items()}
    m = MoCo(*nets, cfg, dtype)
    losses, moved = [], None
    for s in range(steps):
        losses.append(m.step(*pairs(cfg["seed"], s, cfg["batch"], cfg["side"], cfg.get("local", 0), cfg.get("local_side", 0))))
        if s == 1:
            moved = {k: v.detach() - before[k] for k, v in m.q.state_dict().items() if v.is_floating_point()}
    return losses, moved


# A seed counts at which PyTorch's own float32 stays within 1 % of its float64 over
# the run (symmetric-mlp at seed 11: 1.7 % by step 20, since rounding decides the
# sign before a ReLU).
GOLDEN = [
    dict(name="asymmetric", seed=5, width=0.125, dim=16, cifar=True, mlp=False, batch=24, side=20, queue=64,
         temperature=0.1, momentum=0.99, lr=0.003, weight_decay=5e-4, **CIFAR10),
    dict(name="symmetric-mlp", seed=12, width=0.0625, dim=12, cifar=True, mlp=True, batch=9, side=13, queue=50, symmetric=True,
         temperature=0.2, momentum=0.9, lr=0.003, weight_decay=1e-4, **CIFAR10),
    dict(name="local", seed=7, width=0.0625, dim=16, cifar=True, mlp=True, batch=12, side=20, queue=64, local=3, local_side=11,
         temperature=0.2, momentum=0.99, lr=0.003, weight_decay=5e-4, **CIFAR10),
]


def main():
    from safetensors.torch import save_file
    here = os.path.dirname(os.path.abspath(__file__))
    out, tensors = [], {}
    for cfg in GOLDEN:
        losses, moved = run(cfg, 20)
        out.append(dict(config=cfg, losses=losses))
        for k, v in moved.items():
            tensors[cfg["name"] + "/" + k] = (v * 1000).half().contiguous()
    versions = dict(torch=torch.__version__, numpy=np.__version__, python=platform.python_version())
    with open(os.path.join(here, "moco_golden.json"), "w") as f:
        json.dump(dict(command="python contrast/testdata/moco.py", versions=versions, runs=out), f, indent=1)
    save_file(tensors, os.path.join(here, "moco_golden.safetensors"))


if __name__ == "__main__":
    main()
