"""Writes layers.json: what PyTorch computes for small layers, losses and
optimiser steps, in float64 from inputs that float32 holds. Images are NHWC.

    python layers.py > layers.json
"""
import json

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(20)


def single(t):
    return t.float().double()


def randn(*shape):
    return single(torch.randn(*shape))


def flat(t):
    return [float(f"{v:.12g}") for v in t.detach().contiguous().flatten().tolist()]


def nhwc(t):
    return flat(t.permute(0, 2, 3, 1))


def batch_norm(groups):
    n, c, h, w = 6, 5, 3, 3
    x = single(randn(n, c, h, w) * 2 + 3).requires_grad_()
    residual = randn(n, c, h, w).requires_grad_()
    dy = randn(n, c, h, w)
    gamma, beta = randn(c).requires_grad_(), randn(c).requires_grad_()
    mean, var = randn(c), single(torch.rand(c) + 0.5)
    case = {"n": n, "hw": h * w, "c": c, "groups": groups, "x": nhwc(x), "residual": nhwc(residual), "dy": nhwc(dy),
            "gamma": flat(gamma), "beta": flat(beta), "mean": flat(mean), "var": flat(var)}
    # Split batch normalisation: sample i is in group i mod groups.
    means, variances = mean.repeat(groups), var.repeat(groups)
    y = F.batch_norm(x.view(n // groups, groups * c, h, w), means, variances, gamma.repeat(groups), beta.repeat(groups),
                     training=True, momentum=0.1, eps=1e-5).view(n, c, h, w)
    y = F.relu(y + residual)
    y.backward(dy)
    return case | {"y": nhwc(y), "dx": nhwc(x.grad), "dresidual": nhwc(residual.grad), "dgamma": flat(gamma.grad),
                   "dbeta": flat(beta.grad), "newMean": flat(means.view(groups, c).mean(0)),
                   "newVar": flat(variances.view(groups, c).mean(0))}


def max_pool():
    x = randn(2, 3, 7, 5).requires_grad_()
    y = F.max_pool2d(x, 3, 2, 1)
    dy = randn(*y.shape)
    y.backward(dy)
    return {"n": 2, "h": 7, "w": 5, "c": 3, "x": nhwc(x), "y": nhwc(y), "dy": nhwc(dy), "dx": nhwc(x.grad)}


def info_nce(temperature, near):
    n, d, k = 5, 7, 100
    query = randn(n, d).requires_grad_()
    keys = single(F.normalize(query.detach() + near * randn(n, d)))
    queue = single(F.normalize(randn(k, d)))
    q = F.normalize(query)
    q.retain_grad()
    logits = torch.cat([(q * keys).sum(1, keepdim=True), q @ queue.t()], 1) / temperature
    loss = F.cross_entropy(logits, torch.zeros(n, dtype=torch.long), reduction="none")
    loss.mean().backward()
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    return {"n": n, "d": d, "k": k, "temperature": temperature, "query": flat(query), "positive": flat(keys), "keys": flat(queue),
            "loss": flat(loss), "entropy": flat(entropy), "above": (logits[:, 1:] > logits[:, :1]).sum(1).tolist(),
            "dunit": flat(q.grad), "dquery": flat(query.grad)}


def nt_xent(temperature):
    n, d = 10, 7  # rows: the first views, then the second
    z = single(F.normalize(randn(n, d))).requires_grad_()
    logits = (z @ z.t() / temperature).masked_fill(torch.eye(n, dtype=torch.bool), float("-inf"))
    loss = F.cross_entropy(logits, (torch.arange(n) + n // 2) % n, reduction="none")
    loss.mean().backward()
    return {"n": n, "d": d, "temperature": temperature, "z": flat(z), "loss": flat(loss), "dz": flat(z.grad)}


def sgd(**settings):
    p = randn(19).requires_grad_()
    optimiser = torch.optim.SGD([p], **settings)
    case = {"settings": settings, "p": flat(p), "g": [], "after": []}
    for _ in range(3):
        p.grad = randn(19)
        case["g"].append(flat(p.grad))
        optimiser.step()
        case["after"].append(flat(p))
    return case


print(json.dumps({
    "made": f"torch {torch.__version__}, seed 20: python layers.py > layers.json",
    "batchNorm": [batch_norm(1), batch_norm(3)],
    "maxPool": max_pool(),
    "infoNCE": [info_nce(0.2, 0.7), info_nce(0.01, 0.7)],
    "ntXent": [nt_xent(0.5), nt_xent(0.02)],
    "sgd": [sgd(lr=0.1), sgd(lr=0.1, momentum=0.9, weight_decay=0.01), sgd(lr=0.1, momentum=0.9, dampening=0.3),
            sgd(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)],
}, indent=None, separators=(",", ":")))
