"""Trains MoCo in PyTorch on pairs from clpipe and measures what it learned.

The same recipe, on the same pairs in the same order, as a run of clpipe:

    clpipe augment --src 'cifar10/train-*.tar' --epochs 0 --batch 256 |
      python benchmarks/peers/train_torch.py --steps 585 --out torch.safetensors

    python benchmarks/peers/train_torch.py --evaluate torch.safetensors \\
      --train <(clpipe augment --policy none --size 32 --shuffle=false --src 'cifar10/train-*.tar') \\
      --test <(clpipe augment --policy none --size 32 --shuffle=false --src 'cifar10/test-*.tar')

With --src the pairs are those of the usual loader instead: torchvision's transforms
on WebDataset's samples, in as many processes as there are threads. With --minutes
the length is what fits into that time, found out over the first steps.

    python benchmarks/peers/train_torch.py --src 'cifar10/train-*.tar' --batch 256 --minutes 10 --out torch.safetensors

Batch normalisation is plain (clpipe: --split-bn 1); the learning rate is a
cosine over the steps. One JSON line at the end.
"""
import argparse, json, math, os, sys, time
import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contrast", "testdata"))
import moco
from feed import from_webdataset

TRIAL = 20  # steps that --minutes is divided by; the first half warms up


def views(path_or_stdin, columns):
    source = sys.stdin.buffer if path_or_stdin == "-" else open(path_or_stdin, "rb")
    with pa.ipc.open_stream(source) as stream:
        shape = stream.schema.field(columns[0]).type.shape
        for record in stream:
            n = record.num_rows
            out = [record.column(c).storage.flatten().to_numpy().reshape(n, *shape) for c in columns]
            yield out, record.column("label").to_numpy(zero_copy_only=False)


def pairs(a):
    """Anchors and positives, [N, side, side, 3] uint8, from standard input or by PyTorch's own loader."""
    if not a.src:
        for pair, _ in views("-", ["anchor", "positive"]):
            yield pair
        return
    for pair in from_webdataset(a)[0]:
        yield [v.permute(0, 2, 3, 1).numpy() for v in pair]


def train(a):
    torch.manual_seed(a.seed)
    cfg = dict(dim=128, queue=a.queue, temperature=0.1, momentum=0.99, lr=a.lr, weight_decay=5e-4, **moco.CIFAR10)
    nets = [moco.ResNet18(a.width, 128) for _ in range(2)]
    for net in nets:  # clpipe's initial distribution: torchvision's, but for the stem
        for m in net.modules():
            if isinstance(m, torch.nn.Conv2d) and m is not net.conv1:
                torch.nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        net.to(memory_format=torch.channels_last)
    m = moco.MoCo(nets[0], nets[1], cfg)
    m.queue = F.normalize(torch.randn(a.queue, 128), dim=1)
    start, losses = time.time(), []
    for step, (anchor, positive) in enumerate(pairs(a)):
        if step == a.steps:
            break
        if a.minutes and step == TRIAL // 2:
            trial = time.time()
        if a.minutes and step == TRIAL:
            a.steps = step + max(1, int((60 * a.minutes - time.time() + start) / (time.time() - trial) * (TRIAL - TRIAL // 2)))
        for g in m.opt.param_groups:
            g["lr"] = a.lr * 0.5 * (1 + math.cos(math.pi * step / a.steps))
        losses.append(m.step(anchor, positive))
        if step % 20 == 19:
            rate = (step + 1) * len(anchor) / (time.time() - start)
            print(f"step {step+1}/{a.steps} loss {losses[-1]:.3f} {rate:.0f} pairs/s", file=sys.stderr, flush=True)
    from safetensors.torch import save_file
    save_file({k: v.contiguous() for k, v in m.q.state_dict().items()}, a.out)
    print(json.dumps(dict(steps=len(losses), last_loss=np.mean(losses[-195:]), seconds=time.time() - start, torch=torch.__version__)))


@torch.no_grad()
def features(net, path, mean, std):
    xs, ys = [], []
    for (anchor,), labels in views(path, ["anchor"]):
        x = (torch.from_numpy(anchor.copy()).permute(0, 3, 1, 2).float() / 255 - mean) / std
        x = F.relu(net.bn1(net.conv1(x)))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        xs.append(x.mean((2, 3)))
        ys.append(torch.from_numpy(labels.astype(np.int64)))
    return torch.cat(xs), torch.cat(ys)


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


def evaluate(a):
    from safetensors.torch import load_file
    state = load_file(a.evaluate)
    net = moco.ResNet18(state["conv1.weight"].shape[0] / 64, 128)
    net.load_state_dict(state)
    net.eval()
    mean, std = (torch.tensor(moco.CIFAR10[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    x, y = features(net, a.train, mean, std)
    gx, gy = features(net, a.test, mean, std)
    print(json.dumps(dict(knn=knn(x, y, gx, gy), linear=linear(x, y, gx, gy), train=len(y), test=len(gy))))


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--src", help="shards that torchvision and webdataset read, in place of pairs on standard input")
    p.add_argument("--policy", default="moco-cifar")
    p.add_argument("--size", type=int, default=32)
    p.add_argument("--kind", choices=["pil", "tensor"], default="pil", help="of torchvision's images")
    p.add_argument("--batch", type=int, default=256, help="with --src")
    p.add_argument("--steps", type=int, default=585)
    p.add_argument("--minutes", type=float, help="length in place of --steps")
    p.add_argument("--width", type=float, default=0.25)
    p.add_argument("--queue", type=int, default=4096)
    p.add_argument("--lr", type=float, default=0.06)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out")
    p.add_argument("--evaluate")
    p.add_argument("--train")
    p.add_argument("--test")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    evaluate(a) if a.evaluate else train(a)
