"""Writes globallocal.json: the losses of Deep InfoMax and AMDIM over all pairs
of global vectors and local cells, with their gradients by PyTorch's autograd,
in float64 from inputs that float32 holds.

    python globallocal.py > globallocal.json

The losses are written as the papers' reference codes have them
(rdevon/DIM dim_losses.py, Philip-Bachman/amdim-public costs.py), but that an
image's own cells are left out of its negatives exactly and not by a constant.
"""
import json
import math

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(23)


def randn(*shape):
    return torch.randn(*shape).float().double().requires_grad_()


def flat(t):
    return [float(f"{v:.12g}") for v in t.detach().flatten().tolist()]


def case(estimator, n, q, d, scale, clip=0.0, penalty=0.0):
    g, l = randn(n, d), randn(n, q, d)
    raw = scale * torch.einsum("id,jqd->ijq", g, l)
    u = clip * torch.tanh(raw / clip) if clip else raw
    own = torch.eye(n, dtype=torch.bool)
    positive, negative = u[own], u[~own].view(n, n - 1, q)
    if estimator == "jsd":
        e_pos = (math.log(2) - F.softplus(-positive)).mean()
        e_neg = (F.softplus(-negative) + negative - math.log(2)).mean()
        loss = e_neg - e_pos
    elif estimator == "dv":
        loss = torch.logsumexp(negative.flatten(), 0) - math.log(negative.numel()) - positive.mean()
    else:
        logits = torch.cat([positive.unsqueeze(2), negative.reshape(n, 1, -1).expand(n, q, -1)], 2)
        loss = -F.log_softmax(logits, 2)[:, :, 0].mean()
    reg = penalty * (raw**2).mean()
    (loss + reg).backward()
    return {"estimator": estimator, "n": n, "q": q, "d": d, "scale": scale, "clip": clip, "penalty": penalty,
            "global": flat(g), "local": flat(l), "loss": loss.item(), "reg": reg.item(), "dglobal": flat(g.grad), "dlocal": flat(l.grad)}


print(json.dumps({
    "made": f"torch {torch.__version__}, seed 23: python globallocal.py > globallocal.json",
    "cases": [
        case("jsd", 5, 4, 7, 1.0), case("nce", 5, 4, 7, 1.0), case("dv", 5, 4, 7, 1.0), case("nce", 3, 1, 6, 2.0),
        case("nce", 4, 9, 6, 0.5, clip=2.0, penalty=0.03125), case("nce", 4, 9, 6, 6.0, clip=20.0, penalty=0.0625),
    ],
}, separators=(",", ":")))
