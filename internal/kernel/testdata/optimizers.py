"""Writes optimizers.json: five steps of Adam, AdamW and the forms of LARS, and
clipped gradients, in float64 from inputs that float32 holds. Adam is PyTorch's own; LARS, which
PyTorch lacks, is written down here after the published code of each form.

    python optimizers.py > optimizers.json
"""
import json

import torch

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(21)

STEPS = 5


def randn(*shape):
    return torch.randn(*shape).float().double()


def flat(t):
    return [float(f"{v:.12g}") for v in t.detach().flatten().tolist()]


def adam(optimiser, **settings):
    p = randn(19).requires_grad_()
    step = optimiser([p], **settings)
    case = {"settings": settings, "decoupled": optimiser is torch.optim.AdamW, "p": flat(p), "g": [], "after": []}
    for _ in range(STEPS):
        p.grad = randn(19)
        case["g"].append(flat(p.grad))
        step.step()
        case["after"].append(flat(p))
    state = step.state[p]
    return case | {"expAvg": flat(state["exp_avg"]), "expAvgSq": flat(state["exp_avg_sq"])}


def simclr(p, g, v, adapted, lr, momentum, wd, trust, clip):
    """google-research/simclr, lars_optimizer.py, classic momentum."""
    ratio = 1.0
    if adapted:
        g = g + wd * p
        if p.norm() > 0 and g.norm() > 0:
            ratio = trust * p.norm() / g.norm()
    v = momentum * v + lr * ratio * g
    return p - v, v


def moco_v3(p, g, v, adapted, lr, momentum, wd, trust, clip):
    """facebookresearch/moco-v3, moco/optimizer.py."""
    if adapted:
        g = g + wd * p
        if p.norm() > 0 and g.norm() > 0:
            g = g * trust * p.norm() / g.norm()
    v = momentum * v + g
    return p - lr * v, v


def solo_learn(p, g, v, adapted, lr, momentum, wd, trust, clip):
    """vturrisi/solo-learn, utils/lars.py."""
    if adapted and p.norm() > 0 and g.norm() > 0:
        ratio = trust * p.norm() / (g.norm() + wd * p.norm() + 1e-8)
        if clip:
            ratio = min(ratio / lr, 1)
        g = (g + wd * p) * ratio
    v = momentum * v + g
    return p - lr * v, v


def lars(form, lr, trust, clip=False):
    momentum, wd = 0.9, 0.1
    adapted = [True, False, True, True]
    tensors = [randn(7), randn(5), randn(20) * 3, torch.zeros(4)]
    buffers = [torch.zeros_like(t) for t in tensors]
    case = {"form": form.__name__, "lr": lr, "momentum": momentum, "weightDecay": wd, "trust": trust, "clip": clip,
            "adapted": adapted, "lens": [len(t) for t in tensors], "p": flat(torch.cat(tensors)), "g": [], "after": []}
    for step in range(STEPS):
        grads = [randn(len(t)) for t in tensors]
        if step == 1:
            grads[2].zero_()
        case["g"].append(flat(torch.cat(grads)))
        for i, g in enumerate(grads):
            tensors[i], buffers[i] = form(tensors[i], g, buffers[i], adapted[i], lr, momentum, wd, trust, clip)
        case["after"].append(flat(torch.cat(tensors)))
    return case


def clip(most):
    p = torch.zeros(19).requires_grad_()
    p.grad = randn(19)
    case = {"most": most, "g": flat(p.grad)}
    torch.nn.utils.clip_grad_norm_([p], most)
    return case | {"clipped": flat(p.grad)}


print(json.dumps({
    "made": f"torch {torch.__version__}, seed 21: python optimizers.py > optimizers.json",
    "adam": [adam(torch.optim.Adam, lr=0.01), adam(torch.optim.Adam, lr=0.01, weight_decay=0.1, betas=[0.8, 0.99]),
             adam(torch.optim.AdamW, lr=0.01, weight_decay=0.1), adam(torch.optim.AdamW, lr=0.01, weight_decay=0, eps=0.1)],
    "lars": [lars(simclr, 0.5, 0.05), lars(moco_v3, 0.5, 0.05), lars(solo_learn, 0.5, 0.05),
             lars(solo_learn, 0.1, 0.02, clip=True), lars(solo_learn, 0.001, 0.02, clip=True)],
    "clip": [clip(0.5), clip(100)],
}, separators=(",", ":")))
