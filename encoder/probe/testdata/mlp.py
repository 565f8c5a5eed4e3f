"""The MLP probe's training steps in PyTorch, in float64, as an independent judge.

Initial weights, order and dropout are drawn as clpipe draws them, by Philox4x32-10
under the names of each draw, written here anew; forward, gradients and Adam are
PyTorch's. Without arguments it writes mlp.json beside itself:

    python encoder/probe/testdata/mlp.py

Made with the version in the file, on one thread.
"""
import json, math, os
import numpy as np
import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1
WEIGHTS, PROBE = 2, 7  # purposes
ORDER, DROPOUT = 1, 2


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hash_id(s):
    h = 14695981039346656037
    for b in s.encode():
        h = ((h ^ b) * 1099511628211) & MASK
    return mix(h)


class Stream:
    """Draws named by seed, purpose and parts."""

    def __init__(self, seed, purpose, *parts):
        h = mix(purpose)
        for p in parts:
            h = mix(((h ^ p) + 0x9E3779B97F4A7C15) & MASK)
        self.key, self.high, self.low, self.words = seed, h, 0, []

    def uint64(self):
        if not self.words:
            k0, k1 = self.key & 0xFFFFFFFF, self.key >> 32
            c = [self.low & 0xFFFFFFFF, self.low >> 32, self.high & 0xFFFFFFFF, self.high >> 32]
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
                k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
            self.words = [c[0] | c[1] << 32, c[2] | c[3] << 32]
            self.low += 1
        return self.words.pop(0)

    def float(self):
        return (self.uint64() >> 11) * 2.0**-53

    def below(self, n):
        limit = MASK - MASK % n
        while True:
            v = self.uint64()
            if v < limit:
                return v % n

    def perm(self, n):
        out = [0] * n
        for i in range(n):
            j = self.below(i + 1)
            out[i] = out[j]
            out[j] = i
        return out


def hashed(seed, n):
    """n uniform numbers in [0,1): the SplitMix64 finaliser over a counter."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / float(1 << 24)


def features(seed, n, d, classes, signal):
    """Labels, and noise of uneven scale and mean about a centre for each class."""
    labels = (hashed(seed, n) * classes).astype(np.int64)
    centres = hashed(999, classes * d).reshape(classes, d) - 0.5
    noise = hashed(seed + 1, n * d).reshape(n, d) - 0.5
    x = ((signal * centres[labels] + noise) * (0.1 + 10 * hashed(998, d)) + (6 * hashed(997, d) - 3)).astype(np.float32)
    return torch.from_numpy(x).double(), torch.from_numpy(labels)


def case(seed, train, test, d, classes, hidden, batch, steps, dropout, lr):
    x, y = features(seed, train, d, classes, 0.5)
    tx, ty = features(seed + 10, test, d, classes, 0.5)
    mean, std = x.mean(0), (x.var(0, unbiased=False) + 1e-5).sqrt()
    x, tx = (x - mean) / std, (tx - mean) / std
    params = []
    for i, (shape, fan) in enumerate([((d, hidden), d), ((hidden,), d), ((hidden, classes), hidden), ((classes,), hidden)]):
        s, bound = Stream(seed, WEIGHTS, hash_id("probe.mlp"), i), 1 / math.sqrt(fan)
        values = [-bound + 2 * bound * s.float() for _ in range(math.prod(shape))]
        params.append(torch.tensor(values).reshape(shape).double().requires_grad_())
    w1, b1, w2, b2 = params
    optimizer = torch.optim.Adam(params, lr=lr)
    losses, per_epoch = [], train // batch
    for step in range(steps):
        order = Stream(seed, PROBE, ORDER, step // per_epoch).perm(train)
        rows = order[step % per_epoch * batch :][:batch]
        keep = torch.tensor([[float(s.float() >= dropout) for _ in range(hidden)] for s in (Stream(seed, PROBE, DROPOUT, step, i) for i in range(batch))]).double() / (1 - dropout)
        h = F.relu(x[rows] @ w1 + b1) * keep
        loss = F.cross_entropy(h @ w2 + b2, y[rows])
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    correct = ((F.relu(tx @ w1 + b1) @ w2 + b2).argmax(1) == ty).sum().item()
    return {
        "seed": seed, "train": train, "test": test, "dim": d, "classes": classes, "hidden": hidden, "batch": batch, "steps": steps,
        "dropout": dropout, "lr": lr, "losses": losses, "correct": correct, "weights": [round(v, 9) for p in params for v in p.flatten().tolist()],
    }


def main():
    torch.set_num_threads(1)
    cases = [case(5, 90, 60, 7, 3, 12, 32, 20, 0.1, 1e-2), case(6, 64, 50, 19, 5, 30, 64, 20, 0.4, 3e-3)]
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mlp.json")
    with open(out, "w") as file:
        json.dump({"torch": torch.__version__, "cases": cases}, file)
        file.write("\n")


main()
