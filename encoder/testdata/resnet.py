"""Writes the golden files of package encoder: torchvision's residual networks,
narrowed, run forward, backward and through two optimiser steps by PyTorch.

    python resnet.py             (in this folder; rewrites *.safetensors and *.names)
    python resnet.py margins     (tries pixels for each case)

Made with torch 2.15.0+cu132, torchvision 0.29.2+cu132, safetensors 0.8.0,
numpy 2.4.6, on the CPU with one thread, in float64, stored as float32. Nothing
is drawn: weights, pixels and output gradients are hashes of their names and
places, which the Go test computes for itself. What a tensor holds is stored as
16 sums of its elements under fixed signs (sketch): two tensors that differ by a
small part of their norm have sketches that differ by about that part.

Each file's metadata names its case, and how far PyTorch's own float32 is from
its float64: the measure for the tolerances of the Go test. Branches of
bottlenecks end in a small gamma, as in trained networks: sixteen blocks of
equal branches magnify rounding until some ReLU turns over, and then float32
gradients are a few per cent off in any implementation. For resnet50 that does not do:
its pixels are those, of 400 tried, with which the value before a ReLU that is nearest
to zero lies farthest from it (3.5e-5 of the root mean square; 5e-6 in the median).
"""

import json
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]

CASES = [
    dict(name="resnet18-cifar", depth=18, cifar=True, size=12, width=7, head="linear", batch=6, sgd=True),
    dict(name="resnet18-cifar-split", depth=18, cifar=True, size=9, width=7, head="mlp", batch=6, groups=3),
    dict(name="resnet18-cifar-keys", depth=18, cifar=True, size=16, width=5, head="none", batch=8, groups=2,
         permutation=[3, 5, 1, 7, 0, 2, 6, 4]),
    dict(name="resnet18", depth=18, cifar=False, size=40, width=5, head="linear", batch=5),
    dict(name="resnet18-odd", depth=18, cifar=False, size=37, width=7, head="mlp", batch=6),
    dict(name="resnet50-cifar", depth=50, cifar=True, size=11, width=5, head="none", batch=6),
    dict(name="resnet50", depth=50, cifar=False, size=40, width=5, head="linear", batch=5, pixels="pixels179"),
]

DIM = 9  # of the embedding, behind a head
SGD = {
    "plain": dict(momentum=0.9, weight_decay=5e-4),
    "nesterov": dict(momentum=0.9, weight_decay=5e-4, nesterov=True),
    "dampening": dict(momentum=0.8, weight_decay=5e-4, dampening=0.3),
}
LR = 0.05


def bits(name, n):
    """64 bits for each of n places: SplitMix64's finaliser of the place under the name's CRC-32."""
    z = np.arange(n, dtype=np.uint64) | np.uint64(zlib.crc32(name.encode()) << 32)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def uniform(name, shape):
    """Numbers in [-1,1), multiples of 2^-23."""
    n = int(np.prod(shape))
    return ((bits(name, n) >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape)


def sketch(t):
    t = t.detach().double().numpy().ravel()
    signs = (bits("sketch", t.size)[None, :] >> np.arange(16, dtype=np.uint64)[:, None]) & np.uint64(1)
    return torch.from_numpy((1 - 2 * signs.astype(np.float64)) @ t)


def value(name, shape):
    """The initial value of a tensor of the state."""
    u = uniform(name, shape)
    if name.endswith("running_mean"):
        u = 0.125 * u
    elif name.endswith("running_var"):
        u = 1 + 0.5 * u
    elif len(shape) > 1:
        u = u * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("bn3.weight"):
        u = (1 + 0.25 * u) / 8
    elif name.endswith("weight"):
        u = 1 + 0.25 * u
    else:
        u = 0.25 * u
    return u.astype(np.float32).astype(np.float64)


def narrowed(width):
    """torchvision's ResNet with width channels where it has 64."""

    class Narrow(ResNet):
        def _make_layer(self, block, planes, *args, **kwargs):
            if planes == 64:
                self.inplanes = width
            return super()._make_layer(block, planes * width // 64, *args, **kwargs)

    return Narrow


def split_norm(groups):
    """Batch normalisation of groups of samples: n belongs to group n mod groups."""

    class SplitNorm(nn.BatchNorm2d):
        def forward(self, x):
            if not self.training:
                return super().forward(x)
            n, c, h, w = x.shape
            mean, var = self.running_mean.repeat(groups), self.running_var.repeat(groups)
            y = F.batch_norm(x.reshape(n // groups, groups * c, h, w), mean, var, self.weight.repeat(groups),
                             self.bias.repeat(groups), True, self.momentum, self.eps)
            self.running_mean.copy_(mean.view(groups, c).mean(0))
            self.running_var.copy_(var.view(groups, c).mean(0))
            self.num_batches_tracked += 1
            return y.view(n, c, h, w)

    return SplitNorm if groups > 1 else nn.BatchNorm2d


def network(case, dtype):
    block, layers = (BasicBlock, [2, 2, 2, 2]) if case["depth"] == 18 else (Bottleneck, [3, 4, 6, 3])
    width, norm = case["width"], split_norm(case.get("groups", 1))
    net = narrowed(width)(block, layers, norm_layer=norm)
    net.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False) if case["cifar"] else nn.Conv2d(3, width, 7, 2, 3, bias=False)
    net.bn1 = norm(width)
    if case["cifar"]:
        net.maxpool = nn.Identity()
    features = 8 * width * block.expansion
    net.fc = {
        "linear": nn.Linear(features, DIM),
        "mlp": nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, DIM)),
        "none": nn.Identity(),
    }[case["head"]]
    net.to(dtype)
    state = net.state_dict()
    for name, t in state.items():
        if not name.endswith("num_batches_tracked"):
            t.copy_(torch.from_numpy(value(name, t.shape)))
    return net


def forward(net, x, permutation):
    """Returns features, projection and embedding; permuted samples come back in order."""
    pooled = []
    hook = net.avgpool.register_forward_hook(lambda _, __, y: pooled.append(y.flatten(1)))
    projection = net(x[permutation])
    hook.remove()
    order = torch.argsort(torch.tensor(permutation))
    return pooled[0][order], projection[order], F.normalize(projection[order], dim=1)


def stack(state):
    return torch.stack([sketch(state[name]) for name in sorted(state)])


def trained(net):
    return dict(net.named_parameters())


def running(net):
    return {n: b for n, b in net.named_buffers() if "running" in n}


def images(case, dtype):
    n, size = case["batch"], case["size"]
    pixels = (bits(case.get("pixels", "pixels"), n * size * size * 3) >> np.uint64(56)).reshape(n, size, size, 3).astype(np.float64)
    return torch.from_numpy(((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).copy()).to(dtype)


def margin(case):
    """How near the inputs of ReLUs come to zero, relative to each ReLU's root mean square."""
    net, nearest = network(case, torch.float64), []

    def look(_, inputs):
        x = inputs[0].detach()
        nearest.append(float(x.abs().min() / x.square().mean().sqrt()))

    for m in net.modules():
        if isinstance(m, nn.ReLU):
            m.register_forward_pre_hook(look)
    with torch.no_grad():
        forward(net, images(case, torch.float64), case.get("permutation", list(range(case["batch"]))))
    return min(nearest)


def margins():
    for case in CASES:
        names = ["pixels"] + [f"pixels{i}" for i in range(1, 400)]
        found = sorted(((margin(dict(case, pixels=p)), p) for p in names), reverse=True)
        print(case["name"], f"now {margin(case):.1e}, best", ", ".join(f"{p} {m:.1e}" for m, p in found[:3]))


def run(case, dtype):
    out = {}
    n, x = case["batch"], images(case, dtype)
    permutation = case.get("permutation", list(range(n)))

    net = network(case, dtype)
    features, projection, embedding = forward(net, x, permutation)
    embedding.backward(torch.from_numpy(uniform("gradient", embedding.shape)).to(dtype))
    out["features"], out["projection"], out["embedding"] = features, projection, embedding
    out["gradients"] = stack({name: p.grad for name, p in trained(net).items()})
    out["running"] = stack(running(net))
    assert net.bn1.num_batches_tracked == 1
    net.eval()
    with torch.no_grad():
        out["eval.features"], _, out["eval.embedding"] = forward(net, x, permutation)

    for name, settings in SGD.items() if case.get("sgd") else ():
        net = network(case, dtype)
        optimizer = torch.optim.SGD(net.parameters(), lr=LR, **settings)
        for _ in range(2):
            optimizer.zero_grad()
            _, _, embedding = forward(net, x, permutation)
            embedding.backward(torch.from_numpy(uniform("gradient", embedding.shape)).to(dtype))
            optimizer.step()
        out[f"sgd.{name}"] = stack(trained(net))
        out[f"sgd.{name}.momentum"] = stack({n: optimizer.state[p]["momentum_buffer"] for n, p in trained(net).items()})
    return {k: v.detach().float().contiguous() for k, v in out.items()}


def deviation(got, want):
    """The largest distance of a row from its place, relative to the row's norm."""
    return float(((got - want).norm(dim=1) / want.norm(dim=1)).max())


def main():
    torch.set_num_threads(1)
    for case in CASES:
        want, single = run(case, torch.float64), run(case, torch.float32)
        own = {k: f"{deviation(single[k], want[k]):.1e}" for k in want}
        print(case["name"], own)
        save_file(want, case["name"] + ".safetensors", {
            "case": json.dumps(case), "float32": json.dumps(own),
            "made": f"torch {torch.__version__}, torchvision {torchvision.__version__}: python resnet.py",
        })
    for depth in 18, 50:
        state = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        with open(f"resnet{depth}.names", "w") as f:
            for name, t in state.items():
                print(name, *t.shape, file=f)


if __name__ == "__main__":
    margins() if sys.argv[1:] == ["margins"] else main()
