"""InfoNCE within the batch, SimCLR, MoCo v3 and a bilinear MoCo in PyTorch, written from their papers, as
an independent judge of package contrast, in the manner of selfsupervised.py.

    python contrast/testdata/inbatch.py

writes inbatch_golden.json beside itself. Made on the CPU with one thread, in
float64; see the "versions" entry of the golden file.
"""
import selfsupervised as base
import json, math, os, platform
import numpy as np
import torch
import torch.nn.functional as F
from moco import hashed, pairs
from selfsupervised import CIFAR10, Net, image, run


def resnet18(n, x, width):
    """Pooled features, with the 3x3 stem."""
    return resnet18_map(n, x, width).mean((2, 3))


def resnet18_map(n, x, width):
    """The same before they are pooled."""
    c = [max(1, round(w * width)) for w in (64, 128, 256, 512)]
    x = F.relu(n.bn(n.conv(x, "conv1", c[0], 3, 1, 1), "bn1"))
    for stage, out in enumerate(c):
        for block in range(2):
            name, stride = f"layer{stage + 1}.{block}.", 2 if stage > 0 and block == 0 else 1
            y = F.relu(n.bn(n.conv(x, name + "conv1", out, 3, stride, 1), name + "bn1"))
            y = n.bn(n.conv(y, name + "conv2", out, 3, 1, 1), name + "bn2")
            if stride != 1 or x.shape[1] != out:
                x = n.bn(n.conv(x, name + "downsample.0", out, 1, stride), name + "downsample.1")
            x = F.relu(y + x)
    return x


class InBatch:
    def __init__(self, cfg):
        self.cfg, self.net = cfg, Net()
        self.nets = {"encoder_q": self.net}

    def batch(self, step):
        return pairs(self.cfg["seed"], step, self.cfg["batch"], self.cfg["size"])


class InfoNCE(InBatch):
    """One direction: anchors ask, the positives of the other pairs are negatives.
    Scores by any critic, the loss the negative of any bound (Poole et al. 2019),
    of NCE the cross-entropy. DV's gradient is divided by a moving average."""

    def __init__(self, cfg):
        super().__init__(cfg)
        if cfg.get("critic") == "mlp":
            self.nets["critic"] = Net()
        if "learn" in cfg:
            self.nets["temperature"] = Net()

    def scores(self, q, k):
        c, n = self.cfg, self.net
        critic = c.get("critic", "cosine")
        if critic == "mlp":
            hidden = n.linear(q, "critic.query", 256)[:, None] + (k @ n.param("critic.key.weight", 256, c["dim"]).T)[None]
            return self.nets["critic"].linear(F.relu(hidden).flatten(0, 1), "out", 1).view(len(q), len(k))
        if critic == "cosine":
            q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
        if critic == "bilinear":
            q = q @ n.param("critic.weight", c["dim"], c["dim"]).T
        return q @ k.T

    def losses(self, views, step):
        c, k = self.cfg, self.cfg["batch"]
        p = [self.net.linear(resnet18(self.net, image(v, c), c["width"]), "fc", c["dim"]) for v in views]
        scale = self.nets["temperature"].param("log_scale", 1).exp() if "learn" in c else 1 / c["temperature"]
        f = self.scores(*p) * scale
        bound = c.get("bound", "nce")
        b = self.net.linear(p[0], "baseline", 1) if bound in ("tuba", "ialpha") else 0
        return dict.fromkeys(self.nets, self.loss(bound, f, b, k, step))

    def loss(self, bound, f, b, k, step):
        other, joint = ~torch.eye(k, dtype=torch.bool), f.diagonal()
        if bound == "nce":
            return F.cross_entropy(f, torch.arange(k))
        if bound == "nwj":
            return -(joint.mean() - (f[other] - 1).exp().mean())
        if bound == "tuba":
            return -(1 + (joint - b[:, 0]).mean() - (f - b)[other].exp().mean())
        if bound == "jsd":
            return F.softplus(-joint).mean() + F.softplus(f[other]).mean()
        if bound == "dv":
            mean = f[other].exp().mean()
            self.average = 0.99 * self.average + 0.01 * mean.detach() if step else mean.detach()
            slope = mean / self.average - joint.mean()
            return (mean.log() - joint.mean()).detach() + slope - slope.detach()
        alpha, e = self.cfg["alpha"], f.exp()
        m = alpha / (k - 1) * (e.sum(1, keepdim=True) - e) + (1 - alpha) * b.exp()
        return -(1 + (joint[:, None] - m.log())[other].mean() - (e / m.diagonal()[:, None])[other].mean())


class SimCLR(InBatch):
    """NT-Xent over the rows of both views, which share batch statistics. Where it
    is learned, the temperature is exp(-log_scale) of a net of its own."""

    def __init__(self, cfg):
        super().__init__(cfg)
        if "learn" in cfg:
            self.nets["temperature"] = Net()

    def losses(self, views, step):
        c, n = self.cfg, self.net
        h = resnet18(n, torch.cat([image(v, c) for v in views]), c["width"])
        h = h @ n.param("fc.0.weight", h.shape[1], h.shape[1]).T
        h = F.relu(n.bn(h, "fc.1")) @ n.param("fc.3.weight", c["dim"], h.shape[1]).T
        mean, var = h.mean(0), h.var(0, unbiased=False)
        z = (h - mean) / (var + 1e-5).sqrt() * n.param("fc.4.weight", c["dim"])
        if c.get("critic") == "bilinear":
            q = z @ n.param("critic.weight", c["dim"], c["dim"]).T
        else:
            q = z = F.normalize(z, dim=1)
        rows, size = torch.arange(2 * c["batch"]), c["batch"]
        scale = self.nets["temperature"].param("log_scale", 1).exp() if "learn" in c else 1 / c["temperature"]
        scores = (q @ z.T * scale).masked_fill(torch.eye(2 * size, dtype=torch.bool), float("-inf"))
        return dict.fromkeys(self.nets, F.cross_entropy(scores, (rows + size) % (2 * size)))


class MoCoV3(InBatch):
    """Queries go on through a predictor, keys come from a momentum copy of the
    rest; both directions, each 2 tau CE. Called once for every step in turn."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.key = Net()
        self.copies = {"encoder_k": self.key}
        self.apart = "predictor"

    def base(self, n, view):
        c = self.cfg
        h = resnet18(n, image(view, c), c["width"])
        h = F.relu(n.bn(h @ n.param("fc.0.weight", 2 * h.shape[1], h.shape[1]).T, "fc.1"))
        h = h @ n.param("fc.3.weight", c["dim"], h.shape[1]).T
        return F.batch_norm(h, None, None, None, None, True, 0.1, 1e-5)

    def predict(self, z, hidden):
        n, d = self.net, self.cfg["dim"]
        h = F.relu(n.bn(z @ n.param("predictor.0.weight", hidden, d).T, "predictor.1"))
        return h @ n.param("predictor.3.weight", d, hidden).T

    def follow(self, step):
        c = self.cfg
        m = c["momentum"]
        if c["method"] == "moco-v3":
            m = 1 - (1 - m) * 0.5 * (1 + math.cos(math.pi * step / c["steps"]))
        if not step:
            self.key.running = {}
        for name, q in self.net.p.items():
            if not name.startswith(self.apart):
                q = q.detach()
                self.key.p[name] = (m * self.key.p[name] + (1 - m) * q) if step else q.clone()

    def losses(self, views, step):
        c = self.cfg
        hidden = 2 * max(1, round(512 * c["width"]))
        q = [F.normalize(self.predict(self.base(self.net, v), hidden), dim=1) for v in views]
        self.follow(step)
        with torch.no_grad():
            k = [F.normalize(self.base(self.key, v), dim=1) for v in views]
        rows, t = torch.arange(c["batch"]), c["temperature"]
        return {"encoder_q": 2 * t * (F.cross_entropy(q[0] @ k[1].T / t, rows) + F.cross_entropy(q[1] @ k[0].T / t, rows))}


class MoCo(MoCoV3):
    """MoCo with a queue of keys of unit length. The score is <W q, k> of a q of any
    length, or, with the critic cosine, <q, k> of one of unit length."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.apart = "critic"

    def project(self, n, view):
        return n.linear(resnet18(n, image(view, self.cfg), self.cfg["width"]), "fc", self.cfg["dim"])

    def first_queue(self):
        c = self.cfg
        u = (hashed(c["seed"] + 500, c["queue"] * c["dim"]) * 2 - 1).astype(np.float32)
        return torch.from_numpy(u.reshape(-1, c["dim"])).to(base.DTYPE)

    def losses(self, views, step):
        c, d = self.cfg, self.cfg["dim"]
        q = self.project(self.net, views[0])
        if c.get("critic", "cosine") == "bilinear":
            q = q @ self.net.param("critic.weight", d, d).T
        else:
            q = F.normalize(q, dim=1)
        self.follow(step)
        if not step:
            self.queue, self.next = self.first_queue(), 0
        with torch.no_grad():
            k = F.normalize(self.project(self.key, views[1]), dim=1)
        scores = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.T], 1) / c["temperature"]
        loss = F.cross_entropy(scores, torch.zeros(len(q), dtype=torch.long))
        self.queue = self.queue.clone()
        self.queue[(self.next + torch.arange(len(k))) % len(self.queue)] = k
        self.next = (self.next + len(k)) % len(self.queue)
        return {"encoder_q": loss}


base.METHODS.update({"infonce": InfoNCE, "simclr": SimCLR, "moco-v3": MoCoV3, "moco-cifar": MoCo})
BOTH = dict(depth=0, sgd=1e-3, adam=1e-4, beta1=0.9, eps=1e-8, weight_decay=1e-4, **CIFAR10)
# A seed counts at which no input of a late ReLU is so near 0 that float32 puts it
# on the other side (moco-v3-37: 8e-6 at 10 px and below).
SHORT = dict(batch=13, size=20, width=0.0625, dim=11, steps=6, **{**BOTH, "sgd": 3e-4})
RUNS = [
    dict(name="infonce", method="infonce", seed=14, batch=13, size=20, width=0.0625, dim=11, temperature=0.1, **BOTH),
    dict(name="simclr", method="simclr", seed=15, batch=17, size=20, width=0.0625, dim=10, temperature=0.5, **{**BOTH, "sgd": 3e-4}),
    dict(name="simclr-37", method="simclr", seed=16, batch=37, size=40, width=0.0625, dim=16, temperature=0.5, steps=4, **{**BOTH, "sgd": 3e-4}),
    dict(name="simclr-tau", method="simclr", seed=21, batch=12, size=20, width=0.0625, dim=10, temperature=0.5, learn=True, steps=6, **{**BOTH, "weight_decay": 0}),
    dict(name="moco-v3", method="moco-v3", seed=19, batch=11, size=20, width=0.0625, dim=10, temperature=0.2, momentum=0.6, steps=12, **BOTH),
    dict(name="moco-v3-37", method="moco-v3", seed=37, batch=37, size=40, width=0.0625, dim=16, temperature=1.0, momentum=0.1, steps=2, **BOTH),
    dict(name="infonce-dot", method="infonce", seed=41, critic="dot", temperature=1, **SHORT),
    dict(name="infonce-bilinear", method="infonce", seed=42, critic="bilinear", temperature=0.5, **SHORT),
    dict(name="infonce-mlp", method="infonce", seed=43, critic="mlp", temperature=1, **SHORT),
    dict(name="infonce-nwj", method="infonce", seed=44, critic="bilinear", bound="nwj", temperature=8, **SHORT),
    dict(name="infonce-tuba", method="infonce", seed=47, critic="dot", bound="tuba", temperature=4, **SHORT),
    dict(name="infonce-dv", method="infonce", seed=46, bound="dv", temperature=0.5, **SHORT),
    dict(name="infonce-jsd-mlp", method="infonce", seed=57, critic="mlp", bound="jsd", temperature=1, **SHORT),
    dict(name="infonce-ialpha", method="infonce", seed=48, bound="ialpha", alpha=0.3, temperature=0.2, learn=True, **{**SHORT, "weight_decay": 0}),
    dict(name="simclr-bilinear", method="simclr", seed=49, critic="bilinear", temperature=4, **SHORT),
    dict(name="moco-bilinear", method="moco-cifar", seed=50, critic="bilinear", temperature=0.5, momentum=0.9, queue=29, **SHORT),
]


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    runs = []
    for cfg in RUNS:
        sgd = lambda p: torch.optim.SGD(p, cfg["sgd"], momentum=0.9, weight_decay=cfg["weight_decay"])
        adam = lambda p: torch.optim.Adam(p, cfg["adam"], (cfg["beta1"], 0.999), cfg["eps"], cfg["weight_decay"])
        by_sgd = run(cfg, sgd, cfg.get("steps", 20))
        if "critic" in cfg or "bound" in cfg:
            by_sgd.update(moved={}, running={})  # the encoder's are above
        runs.append(dict(config=cfg, sgd=by_sgd, adam=run(cfg, adam, cfg.get("steps", 20))["losses"]))
        print(cfg["name"], [round(v["encoder_q"], 4) for v in runs[-1]["sgd"]["losses"][::6]])
    versions = dict(torch=torch.__version__, numpy=np.__version__, python=platform.python_version())
    with open(os.path.join(here, "inbatch_golden.json"), "w") as f:
        json.dump(dict(command="python contrast/testdata/inbatch.py", versions=versions, runs=runs), f, separators=(",", ":"))


if __name__ == "__main__":
    main()
