"""Fine-tuning in PyTorch, float64, as an independent judge of FineTuner: ResNet-18
with a 3x3 stem and a linear classifier, cross-entropy, SGD with Nesterov momentum,
a cosine over the steps. Weights, pixels and labels come from a hash of their place.

    python encoder/probe/testdata/finetune.py

writes finetune.json beside itself: what six steps moved in every tensor
(norm), and the logits of the first batch after them in training mode.
"""
import json, math, os, platform, sys
import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "contrast", "testdata"))
import inbatch
import selfsupervised as judge
from moco import hashed

SEED, SIDE, BATCH, CLASSES, STEPS, LR, WIDTH = 5, 12, 6, 3, 6, 0.02, 0.0625
CFG = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])


def batch(step):
    pixels = (hashed(SEED * 100 + step, BATCH * SIDE * SIDE * 3) * 255).astype(np.uint8)
    return pixels.reshape(BATCH, SIDE, SIDE, 3), torch.tensor([(i * i + step) % CLASSES for i in range(BATCH)])


def main():
    torch.set_num_threads(1)
    n = judge.Net()

    def logits(x):
        return n.linear(inbatch.resnet18(n, judge.image(x, CFG), WIDTH), "classifier", CLASSES)

    logits(batch(0)[0])
    n.initial(SEED)
    before = {k: v.detach().clone() for k, v in n.p.items()}
    opt = torch.optim.SGD(list(n.p.values()), LR, momentum=0.9, nesterov=True)
    for step in range(STEPS):
        x, y = batch(step)
        opt.param_groups[0]["lr"] = LR * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        opt.zero_grad()
        F.cross_entropy(logits(x), y).backward()
        opt.step()
    moved = {k: (v - before[k]).norm().item() for k, v in n.p.items()}
    with torch.no_grad():
        out = logits(batch(0)[0]).numpy().ravel().tolist()
    versions = dict(torch=torch.__version__, numpy=np.__version__, python=platform.python_version())
    with open(os.path.join(HERE, "finetune.json"), "w") as f:
        json.dump(dict(command="python encoder/probe/testdata/finetune.py", versions=versions, moved=moved, logits=out), f, indent=1)


if __name__ == "__main__":
    main()
