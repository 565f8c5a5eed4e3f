"""InfoNCE against a queue in PyTorch: forward, and backward to the queries."""
import argparse
import torch
import torch.nn.functional as F

import worker


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--dim", type=int, default=128)
    p.add_argument("--queue", type=int, default=65536)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    q, k, queue = (F.normalize(torch.randn(n, a.dim), dim=1) for n in (a.batch, a.batch, a.queue))
    q.requires_grad_()
    labels = torch.zeros(a.batch, dtype=torch.long)

    def loss():
        q.grad = None
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.2
        F.cross_entropy(logits, labels).backward()

    worker.serve([("total", a.batch, loss)], torch=torch.__version__)


if __name__ == "__main__":
    main()
