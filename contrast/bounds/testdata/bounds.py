"""The mutual-information bounds in PyTorch, in float64, gradients by autograd.

Written as the papers print them, over dense matrices. Scores come from a hash of
their place, so that the golden file holds results only. Without arguments it
writes bounds.json beside itself:

    python contrast/bounds/testdata/bounds.py

Made with the version in the file. There is no seed: nothing is drawn.
"""
import json, math, os
import numpy as np
import torch
import torch.nn.functional as F


def hashed(seed, n):
    """n uniform numbers in [0,1): the SplitMix64 finaliser over a counter."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / float(1 << 24)


def off(k):
    return ~torch.eye(k, dtype=torch.bool)


def nce(f):
    return math.log(len(f)) + torch.diagonal(F.log_softmax(f, 1)).mean()


def tuba(f, b):
    g = f - b[:, None]
    return 1 + torch.diagonal(g).mean() - g[off(len(f))].exp().mean()


def nwj(f):
    return torch.diagonal(f).mean() - (f - 1)[off(len(f))].exp().mean()


def dv(f):
    n = len(f) * (len(f) - 1)
    return torch.diagonal(f).mean() - (torch.logsumexp(f[off(len(f))], 0) - math.log(n))


def dv_corrected(f, average):
    """The value of DV; a gradient divided by a constant average of mean e^f."""
    return torch.diagonal(f).mean() - f[off(len(f))].exp().mean() / average


def jsd(f):
    return -F.softplus(-torch.diagonal(f)).mean() - F.softplus(f[off(len(f))]).mean()


def interpolated(f, b, alpha):
    k = len(f)
    rows = []
    for i in range(k):
        rows.append(torch.stack([alpha / (k - 1) * sum(f[i, c].exp() for c in range(k) if c != j) + (1 - alpha) * b[i].exp() for j in range(k)]))
    m = torch.stack(rows)
    joint = (torch.diagonal(f)[:, None] - m.log())[off(k)].mean()
    marginal = (f.exp() / torch.diagonal(m)[:, None])[off(k)].mean()
    return 1 + joint - marginal


def main():
    torch.set_num_threads(1)
    cases = []
    for seed, (k, scale) in enumerate([(2, 2.0), (5, 6.0), (8, 1.0), (9, 40.0)]):
        scores = (hashed(seed, k * k).reshape(k, k) - 0.5) * scale
        baselines = (hashed(seed + 50, k) - 0.5) * scale
        for name, fn in [("nce", nce), ("nwj", nwj), ("dv", dv), ("jsd", jsd), ("tuba", None), ("dv-average", None)] + [(f"alpha {a}", a) for a in (0.0, 0.01, 0.5, 1.0)]:
            f = torch.tensor(scores, requires_grad=True)
            b = torch.tensor(baselines, requires_grad=True)
            if name == "tuba":
                value = tuba(f, b)
            elif name == "dv-average":
                # The second batch of an average that began with the scores themselves, a third as large.
                first = torch.tensor(scores / 3)[off(k)].exp().mean()
                average = 0.99 * first + 0.01 * f.detach()[off(k)].exp().mean()
                value = dv_corrected(f, average)
            elif name.startswith("alpha"):
                value = interpolated(f, b, fn)
            else:
                value = fn(f)
            value.backward()
            case = {"bound": name, "k": k, "seed": seed, "scale": scale, "value": (dv(f) if name == "dv-average" else value).item(), "grad": f.grad.flatten().tolist()}
            if b.grad is not None:
                case["grad_b"] = b.grad.tolist()
            cases.append(case)
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bounds.json")
    with open(out, "w") as file:
        json.dump({"torch": torch.__version__, "cases": cases}, file)
        file.write("\n")


main()
