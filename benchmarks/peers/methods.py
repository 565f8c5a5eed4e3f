"""The methods in PyTorch, as runs of clpipe configure them.

Networks and losses are those that judge package contrast (contrast/testdata), in
float32. Recipe and weights are those of a run directory, and what is trained here
is saved as one. Batch statistics are plain (clpipe: --split-bn 1).
"""
import math, pathlib, shutil, sys
import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "contrast" / "testdata"))
import inbatch  # noqa: E402, adds its methods to those of selfsupervised
import selfsupervised as base  # noqa: E402

base.DTYPE = torch.float32
plain = base.image
LAYOUTS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}


def image(x, cfg):
    """uint8 [n,h,w,3] to normalised pixels in the layout of the network."""
    return plain(x, cfg).contiguous(memory_format=LAYOUTS[cfg["layout"]])


class Net(base.Net):
    """The judge's network, which can also run on running statistics."""
    evaluating = False

    def bn(self, x, name):
        if not self.evaluating:
            return super().bn(x, name)
        return F.batch_norm(x, *self.running[name], self.p[name + ".weight"], self.p[name + ".bias"], False, 0.1, 1e-5)

    def fill(self, tensors, layout):
        for name, t in tensors.items():
            layer, kind = name.rsplit(".", 1)
            if kind in ("running_mean", "running_var"):
                self.running.setdefault(layer, [None, None])[kind == "running_var"] = t.clone()
            elif kind != "num_batches_tracked":
                self.p[name] = t.clone(memory_format=LAYOUTS[layout] if t.dim() == 4 else torch.contiguous_format).requires_grad_()

    def tensors(self):
        running = {f"{layer}.{kind}": t for layer, both in self.running.items() for kind, t in zip(("running_mean", "running_var"), both)}
        return {name: t.detach().contiguous() for name, t in {**self.p, **running}.items()}


class MoCo(inbatch.MoCo):
    def first_queue(self):
        return F.normalize(torch.randn(self.cfg["queue"], self.cfg["dim"]), dim=1)


base.image = inbatch.image = image
base.Net = inbatch.Net = Net
base.METHODS["moco-cifar"] = MoCo


def own_draws():
    """Lets the methods draw by NumPy, which is faster than the program's generator in Python."""
    base.cell = lambda seed, step, index, n: np.random.randint(n)
    base.uniform = lambda seed, step, index, n: np.random.rand(n)


def recipe(run):
    """The settings of a run."""
    c = yaml.safe_load((pathlib.Path(run) / "config.yaml").read_text())
    if c.get("split-bn", 1) != 1:
        sys.exit(f"{run}: split-bn is {c['split-bn']}, want 1: batch statistics are plain here")
    if c["optimizer"] not in ("sgd", "adam") or c["method"] not in base.METHODS:
        sys.exit(f"{run}: got {c['method']} by {c['optimizer']}, want one of {', '.join(base.METHODS)} by sgd or adam")
    numbers = [float(v) for v in str(c["normalize"]).split()]
    c.update(mean=numbers[:3], std=numbers[3:], seed=int(c["seed"]), grid=7, patch=c["size"] // 4, clip=20.0, penalty=0.04)
    if c["method"] == "dim":
        c["alpha"], c["beta"] = {"local": (0, 1), "global": (1, 0), "both": (0.5, 0.1)}[c["dim-objective"]]
        c["gamma"] = float(c["prior"])
    return c


def checkpoint(run):
    return sorted((pathlib.Path(run) / "checkpoints").glob("step-*"))[-1]


def load(cfg, run, layout="channels last"):
    """The recipe's method with the weights of a run's last checkpoint."""
    m = base.METHODS[cfg["method"]](dict(cfg, layout=layout))
    for name, net in m.nets.items():
        path = checkpoint(run) / f"{name}.safetensors"
        if net is m.net or path.exists():
            net.fill(load_file(path), layout)
    return m


def save(m, run, out, steps):
    """Writes what a run of so many steps would, as far as load reads it."""
    folder = pathlib.Path(out) / "checkpoints" / f"step-{steps:08d}"
    folder.mkdir(parents=True)
    shutil.copy(pathlib.Path(run) / "config.yaml", out)
    for name, net in m.nets.items():
        save_file(net.tensors(), folder / f"{name}.safetensors")


def rate(c, done):
    """The learning rate after a share of the run: package encoder's Schedule."""
    peak, warm = float(c["lr"]), c["warmup"] / c["steps"]
    if done < warm:
        return peak * done / warm
    done = (done - warm) / (1 - warm)
    if c["schedule"] == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if c["schedule"] == "step":
        factor, *places = {"amdim": (0.2, 250 / 300, 280 / 300)}.get(c["method"], (0.1, 0.6, 0.8))
        return peak * factor ** sum(done >= place for place in places)
    return peak


class Trainer:
    def __init__(self, m):
        c, self.m, self.steps = m.cfg, m, 0
        for net in m.nets.values():  # the start's one step at rate 0 left statistics
            for mean, var in net.running.values():
                mean.zero_(), var.fill_(1)
        decay = float(c["weight-decay"])  # YAML takes 1e-05 for a text
        beta1, eps = {"cpc": (0.8, 1e-7), "amdim": (0.8, 1e-8)}.get(c["method"], (0.9, 1e-8))

        def optimizer(p):
            if c["optimizer"] == "sgd":
                return torch.optim.SGD(p, 0.0, momentum=0.9, weight_decay=decay, fused=True)
            return torch.optim.Adam(p, 0.0, (beta1, 0.999), eps, decay, fused=True)

        self.optimizers = {name: optimizer(list(net.p.values())) for name, net in m.nets.items()}

    def step(self, views, rate):
        """Views uint8 [n,h,w,3], or [n,g,g,p,p,3] of patches. Returns the loss."""
        m = self.m
        parts = m.losses(views, self.steps)
        grads = {name: torch.autograd.grad(parts[name], list(net.p.values()), retain_graph=len(m.nets) > 1) for name, net in m.nets.items()}
        for name, net in m.nets.items():
            for p, g in zip(net.p.values(), grads[name]):
                p.grad = g
            self.optimizers[name].param_groups[0]["lr"] = rate
            self.optimizers[name].step()
        self.steps += 1
        return parts["encoder_q"].item()


@torch.no_grad()
def features(m, x):
    """Of whole images uint8 [n,h,w,3], in evaluation mode: pooled, of CPC the mean of
    the patches' codes, of AMDIM the 1x1 map."""
    for net in m.nets.values():
        net.evaluating = True
    c = m.cfg
    if c["method"] == "cpc":
        g, p = c["grid"], c["patch"]
        x = np.stack([np.stack([x[:, i * p // 2:i * p // 2 + p, j * p // 2:j * p // 2 + p] for j in range(g)], 1) for i in range(g)], 1)
        return m.codes(x).mean((2, 3))
    if c["method"] == "dim":
        return m.encode(image(x, c))[1]
    if c["method"] == "amdim":
        return m.encode(x)[1][:, 0]
    return inbatch.resnet18(m.net, image(x, c), c["width"])
