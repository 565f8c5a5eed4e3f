"""Writes norms.json: group and layer normalisation with their gradients by
PyTorch, in float64 from inputs that float32 holds. Images are NHWC.

    python norms.py > norms.json
"""
import json

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(22)


def single(t):
    return t.float().double()


def randn(*shape):
    return single(torch.randn(*shape))


def flat(t):
    return [float(f"{v:.12g}") for v in t.detach().contiguous().flatten().tolist()]


def nhwc(t):
    return flat(t.permute(0, 2, 3, 1))


def norm(groups):
    """groups 0: layer normalisation over the channels of each pixel."""
    n, c, h, w = 3, 6, 3, 2
    # Channels lie far apart, so that a group's variance is not one channel's.
    x = single(randn(n, c, h, w) + 3 * torch.arange(c).view(1, c, 1, 1)).requires_grad_()
    dy = randn(n, c, h, w)
    gamma, beta = randn(c).requires_grad_(), randn(c).requires_grad_()
    if groups > 0:
        y = F.group_norm(x, groups, gamma, beta, eps=1e-5)
    else:
        y = F.layer_norm(x.permute(0, 2, 3, 1), [c], gamma, beta, eps=1e-5).permute(0, 3, 1, 2)
    y.backward(dy)
    return {"n": n, "hw": h * w, "c": c, "groups": groups, "x": nhwc(x), "dy": nhwc(dy), "gamma": flat(gamma),
            "beta": flat(beta), "y": nhwc(y), "dx": nhwc(x.grad), "dgamma": flat(gamma.grad), "dbeta": flat(beta.grad)}


print(json.dumps({
    "made": f"torch {torch.__version__}, seed 22: python norms.py > norms.json",
    "cases": [norm(1), norm(2), norm(6), norm(0)],
}, separators=(",", ":")))
