"""Trains any method in PyTorch from a clpipe run's weights on pairs from clpipe.

The networks and losses are those that judge package contrast (contrast/testdata),
in float32; recipe, weights and views are those of the run, whose first checkpoint
holds the initial weights:

    clpipe --src TRAIN --method cpc --width 0.5 --steps 1 --lr 0 --run runs/start
    clpipe augment --policy cpc --size 32 --src TRAIN --epochs 0 --batch 64 |
      python benchmarks/peers/train_methods.py --run runs/start --lr 2e-4 --steps 300 \\
        --train train.arrows --test test.arrows

train.arrows and test.arrows are labelled images as they are:

    clpipe augment --policy none --size 32 --shuffle=false --src TRAIN > train.arrows

The last line is a JSON object: losses, kNN and linear probe of the mean features
in evaluation mode. Batch statistics are plain (clpipe: --split-bn 1). With
--evaluate nothing is trained: the figures are those of the run's checkpoint, for
the same judge on both sides.
"""
import argparse, glob, json, math, os, sys, time
import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "contrast", "testdata"))
import inbatch  # adds its methods to those of selfsupervised
import selfsupervised as judge
from train_torch import knn, linear, views

judge.DTYPE = torch.float32


class Net(judge.Net):
    """The judge's network, which can also run on running statistics."""
    evaluating = False

    def bn(self, x, name):
        if not self.evaluating:
            return super().bn(x, name)
        return F.batch_norm(x, *self.running[name], self.p[name + ".weight"], self.p[name + ".bias"], False, 0.1, 1e-5)


judge.Net = inbatch.Net = Net


def method(run):
    """The run's method with the weights of its last checkpoint, fresh statistics unless it has trained."""
    with open(os.path.join(run, "config.yaml")) as f:
        c = yaml.safe_load(f)
    numbers = [float(v) for v in str(c["normalize"]).split()]
    cfg = dict(c, mean=numbers[:3], std=numbers[3:], seed=int(c["seed"]), grid=7, patch=c["size"] // 4, clip=20.0, penalty=0.04)
    if c["method"] == "dim":
        cfg["alpha"], cfg["beta"] = {"local": (0, 1), "global": (1, 0), "both": (0.5, 0.1)}[c["dim-objective"]]
        cfg["gamma"] = float(c["prior"])
    checkpoint = sorted(glob.glob(os.path.join(run, "checkpoints", "step-*")))[-1]
    tensors = load_file(os.path.join(checkpoint, "encoder_q.safetensors"))
    if c["method"] == "dim":
        cfg["hidden"] = tensors["global_net.conv2.bias"].numel()
    m = judge.METHODS[c["method"]](cfg)
    fill(m.net, tensors)
    for name, net in m.nets.items():
        path = os.path.join(checkpoint, name + ".safetensors")
        if net is not m.net and os.path.exists(path):
            fill(net, load_file(path))
    return m


def fill(net, tensors):
    for name, t in tensors.items():
        layer, kind = name.rsplit(".", 1)
        if kind in ("running_mean", "running_var"):
            net.running.setdefault(layer, [None, None])[kind == "running_var"] = t.clone()
        elif kind != "num_batches_tracked":
            net.p[name] = t.clone().requires_grad_()


def features(m, x):
    """Of whole images uint8 [n,h,w,3]."""
    c, n = m.cfg, m.net
    if c["method"] == "cpc":
        g, p = c["grid"], c["patch"]
        x = np.stack([np.stack([x[:, i * p // 2:i * p // 2 + p, j * p // 2:j * p // 2 + p] for j in range(g)], 1) for i in range(g)], 1)
        return m.codes(x).mean((2, 3))
    if c["method"] == "dim":
        return m.encode(judge.image(x, c))[1]
    if c["method"] == "amdim":
        return m.encode(x)[1][:, 0]
    return inbatch.resnet18(n, judge.image(x, c), c["width"])


@torch.no_grad()
def embed(m, path):
    for net in m.nets.values():
        net.evaluating = True
    xs, ys = [], []
    for (x,), labels in views(path, ["anchor"]):
        xs.append(features(m, x))
        ys.append(torch.from_numpy(labels.astype(np.int64)))
    return torch.cat(xs), torch.cat(ys)


def rate(a, step):
    if step < a.warmup:
        return a.lr * step / a.warmup
    if a.schedule == "cosine":
        return a.lr * 0.5 * (1 + math.cos(math.pi * (step - a.warmup) / (a.steps - a.warmup)))
    return a.lr


def train(m, a):
    c = m.cfg
    for net in m.nets.values():  # the start's one step at rate 0 left statistics
        for mean, var in net.running.values():
            mean.zero_(), var.fill_(1)
    decay = float(c["weight-decay"])  # YAML takes 1e-05 for a text
    beta1, eps = {"cpc": (0.8, 1e-7), "amdim": (0.8, 1e-8)}.get(c["method"], (0.9, 1e-8))
    new = (lambda p: torch.optim.SGD(p, a.lr, momentum=0.9, weight_decay=decay)) if c["optimizer"] == "sgd" else \
        (lambda p: torch.optim.Adam(p, a.lr, (beta1, 0.999), eps, decay))
    opts = {name: new(list(net.p.values())) for name, net in m.nets.items()}
    columns, losses = ["anchor"] if c["method"] in ("cpc", "dim") else ["anchor", "positive"], []
    for step, (batch, _) in enumerate(views("-", columns)):
        if step == a.steps:
            break
        parts = m.losses(batch, step)
        grads = {name: torch.autograd.grad(parts[name], list(net.p.values()), retain_graph=len(m.nets) > 1) for name, net in m.nets.items()}
        for name, net in m.nets.items():
            for p, g in zip(net.p.values(), grads[name]):
                p.grad = g
            opts[name].param_groups[0]["lr"] = rate(a, step)
            opts[name].step()
        losses.append(parts["encoder_q"].item())
        if step % 20 == 19:
            print(f"step {step+1}/{a.steps} loss {losses[-1]:.4f}", file=sys.stderr, flush=True)
    return losses


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--run", required=True)
    p.add_argument("--evaluate", action="store_true")
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--lr", type=float, default=2e-4)
    p.add_argument("--warmup", type=int, default=0)
    p.add_argument("--schedule", default="constant", choices=["constant", "cosine"])
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--train", required=True)
    p.add_argument("--test", required=True)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    start, m = time.time(), method(a.run)
    losses = [] if a.evaluate else train(m, a)
    seconds = time.time() - start
    (x, y), (gx, gy) = embed(m, a.train), embed(m, a.test)
    out = dict(method=m.cfg["method"], knn=knn(x, y, gx, gy), linear=linear(x, y, gx, gy), train=len(y), test=len(gy), torch=torch.__version__)
    if losses:
        out.update(steps=len(losses), first_loss=losses[0], last_loss=float(np.mean(losses[-20:])), seconds=round(seconds, 1))
    print(json.dumps(out))


if __name__ == "__main__":
    main()
