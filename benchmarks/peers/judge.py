"""What encoders of one method learned: one judge for runs of clpipe and of train_torch.py.

    clpipe augment --policy none --size 32 --shuffle=false --src TRAIN > train.arrows
    clpipe augment --policy none --size 32 --shuffle=false --src TEST > test.arrows
    python benchmarks/peers/judge.py --train train.arrows --test test.arrows RUN...

A JSON line for each run: kNN (k 200, tau 0.1) and linear probe, on the method's
features of the last checkpoint. The probe is fitted by L-BFGS on standardised
features, its L2 chosen on a tenth of the training images.
"""
import argparse, json, os
import numpy as np
import torch
import torch.nn.functional as F

import feed, methods


def embed(m, path, limit):
    xs, ys, n = [], [], 0
    with open(path, "rb") as source:
        for (x,), labels in feed.records(source, ["anchor"]):
            xs.append(methods.features(m, x))
            ys.append(torch.from_numpy(labels.astype(np.int64)))
            n += len(x)
            if limit and n >= limit:
                break
    return torch.cat(xs)[:limit], torch.cat(ys)[:limit]


def knn(x, y, gx, gy, k=200, t=0.1):
    x, gx, right = F.normalize(x), F.normalize(gx), 0
    for g, labels in zip(gx.split(512), gy.split(512)):
        sim, at = (g @ x.T).topk(k)
        votes = torch.zeros(len(g), int(y.max()) + 1).scatter_add_(1, y[at], (sim / t).exp())
        right += (votes.argmax(1) == labels).sum().item()
    return right / len(gy)


def linear(x, y, gx, gy):
    mean, std = x.mean(0), (x.var(0, unbiased=False) + 1e-5).sqrt()
    x, gx, classes = (x - mean) / std, (gx - mean) / std, int(y.max()) + 1

    def fit(x, y, l2):
        w, b = torch.zeros(x.shape[1], classes, requires_grad=True), torch.zeros(classes, requires_grad=True)
        opt = torch.optim.LBFGS([w, b], max_iter=200, line_search_fn="strong_wolfe")

        def closure():
            opt.zero_grad()
            loss = F.cross_entropy(x @ w + b, y) + l2 / 2 * w.square().sum()
            loss.backward()
            return loss
        opt.step(closure)
        return lambda z: (z @ w + b).argmax(1)

    perm = torch.randperm(len(y), generator=torch.Generator().manual_seed(1))
    held, rest = perm[:len(y) // 10], perm[len(y) // 10:]
    best = max([1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5], key=lambda l2: (fit(x[rest], y[rest], l2)(x[held]) == y[held]).sum().item())
    return (fit(x, y, best)(gx) == gy).float().mean().item()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", metavar="RUN")
    p.add_argument("--train", required=True)
    p.add_argument("--test", required=True)
    p.add_argument("--bank", type=int, help="training images to learn from (default all)")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    for run in a.runs:
        m = methods.load(methods.recipe(run), run)
        (x, y), (gx, gy) = embed(m, a.train, a.bank), embed(m, a.test, None)
        print(json.dumps(dict(run=run, method=m.cfg["method"], knn=knn(x, y, gx, gy), linear=linear(x, y, gx, gy), train=len(y), test=len(gy))), flush=True)


if __name__ == "__main__":
    main()
