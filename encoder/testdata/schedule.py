"""Writes schedule.json: learning rates of PyTorch's schedulers.

    python schedule.py        (in this folder)

Made with torch 2.15.0+cu132. By epoch, CosineAnnealingLR over 20 and MultiStepLR
at 60 % and 80 % of 20; by step, the warm-up and cosine that are common as a
LambdaLR: 5 of 25 steps rise linearly from 0.
"""

import json
import math

import torch
from torch.optim import lr_scheduler

BASE = 0.03


def rates(make, n):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler, out = make(optimizer), []
    for _ in range(n):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def warmup(t):
    return t / 5 if t < 5 else 0.5 * (1 + math.cos(math.pi * (t - 5) / 20))


with open("schedule.json", "w") as f:
    json.dump({
        "cosine": rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 20), 21),
        "step": rates(lambda o: lr_scheduler.MultiStepLR(o, [12, 16]), 20),
        "warmup": rates(lambda o: lr_scheduler.LambdaLR(o, warmup), 26),
    }, f, indent=1)
