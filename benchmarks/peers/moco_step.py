"""A whole MoCo step in PyTorch: pixels to weights, on pairs in memory.

The networks are that of contrast/testdata/moco.py and torchvision's ResNet-50,
each with one linear layer as its head. The step is written for speed:
one fused update of the momentum encoder, the optimiser's foreach form, a queue
that is written in place.
"""
import argparse, pathlib, sys
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

import worker

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "contrast" / "testdata"))
import moco  # noqa: E402


class ResNet50(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.net = torchvision.models.resnet50(num_classes=dim)

    def forward(self, x):
        return F.normalize(self.net(x), dim=1, eps=1e-12)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--encoder", choices=["resnet18-cifar", "resnet18", "resnet50"], default="resnet18-cifar")
    p.add_argument("--width", type=float, default=1)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--size", type=int, default=32)
    p.add_argument("--queue", type=int, default=4096)
    p.add_argument("--channels-last", action="store_true")
    p.add_argument("--compile", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if a.channels_last else torch.contiguous_format
    network = lambda: ResNet50(128) if a.encoder == "resnet50" else moco.ResNet18(a.width, 128, cifar=a.encoder == "resnet18-cifar")
    query, key = (network().to(memory_format=layout).train() for _ in range(2))
    key.load_state_dict(query.state_dict())
    optimizer = torch.optim.SGD(query.parameters(), 0.03, momentum=0.9, weight_decay=5e-4, foreach=True)
    queue = F.normalize(torch.randn(a.queue, 128), dim=1)
    mean, std = (torch.tensor(moco.CIFAR10[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    views = [torch.randint(0, 256, (a.batch, a.size, a.size, 3), dtype=torch.uint8) for _ in range(2)]
    labels = torch.zeros(a.batch, dtype=torch.long)
    at = 0

    def pixels(x):
        return ((x.permute(0, 3, 1, 2).float() / 255 - mean) / std).contiguous(memory_format=layout)

    forward_query, forward_key = (torch.compile(query), torch.compile(key)) if a.compile else (query, key)

    def step():
        nonlocal at
        with torch.no_grad():
            torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 0.01)
        q = forward_query(pixels(views[0]))
        with torch.no_grad():
            k = forward_key(pixels(views[1]))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.1
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rows = (at + torch.arange(a.batch)) % a.queue
        queue[rows] = k
        at = (at + a.batch) % a.queue
        return loss.item()

    worker.serve([("total", a.batch, step)], torch=torch.__version__)


if __name__ == "__main__":
    main()
