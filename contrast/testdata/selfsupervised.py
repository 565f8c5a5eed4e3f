"""CPC, Deep InfoMax and AMDIM in PyTorch, written from their papers, as an
independent judge of package contrast.

Weights and pixels come from a hash of their place (moco.py), draws from the
generator that the program documents (Philox4x32-10 under a hash of seed,
purpose, step and index). Each run is stepped by SGD, of which the file keeps
the first step's gradients, what two steps changed and twenty losses, and by the
method's own Adam, of which it keeps twenty losses. Of a tensor the file holds
its norm and 16 sums of its elements under fixed signs.

    python contrast/testdata/selfsupervised.py

writes selfsupervised_golden.json beside itself. Made on the CPU with one thread,
in float64; see the "versions" entry of the golden file.
"""
import json, math, os, platform
import numpy as np
import torch
import torch.nn.functional as F
from moco import hashed, pairs

DTYPE = torch.float64
MASK = (1 << 64) - 1


# Draws.

def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def draws(seed, purpose, *parts):
    """The 64-bit words drawn under a name."""
    high = mix(purpose)
    for p in parts:
        high = mix((high ^ p) + 0x9E3779B97F4A7C15 & MASK)
    low = 0
    while True:
        k0, k1 = seed & 0xFFFFFFFF, seed >> 32
        c = [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32]
        for _ in range(10):
            p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [p1 >> 32 ^ c[1] ^ k0, p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
            k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
        yield c[0] | c[1] << 32
        yield c[2] | c[3] << 32
        low += 1


def cell(seed, step, index, n):
    """A uniform integer below n; the uneven remainder is as good as never met."""
    return next(draws(seed, CELL, step, index)) % n


def uniform(seed, step, index, n):
    words = draws(seed, PRIOR, step, index)
    return [np.float32((next(words) >> 11) * 2.0**-53) for _ in range(n)]


def hidden(seed, step, index, side):
    """The upper left corner of a square, side places along each axis."""
    words = draws(seed, OCCLUSION, step, index)
    return next(words) % side, next(words) % side


def partners(seed, step, index, n):
    """A permutation: each of n cells' partner."""
    words, p = draws(seed, CELL_PAIRS, step, index), [0] * n
    for i in range(n):
        j = next(words) % (i + 1)
        p[i] = p[j]
        p[j] = i
    return p


CELL, PRIOR, OCCLUSION, CELL_PAIRS = 10, 11, 13, 14  # purposes, see internal/rng


# Networks: parameters are made when they are first named.

class Net:
    def __init__(self):
        self.p, self.running, self.training = {}, {}, True

    def param(self, name, *shape):
        if name not in self.p:
            self.p[name] = torch.zeros(*shape, dtype=DTYPE, requires_grad=True)
        return self.p[name]

    def conv(self, x, name, out, k, stride=1, pad=0, bias=False):
        kh, kw = k if isinstance(k, tuple) else (k, k)
        w = self.param(name + ".weight", out, x.shape[1], kh, kw)
        b = self.param(name + ".bias", out) if bias else None
        return F.conv2d(x, w, b, stride, pad)

    def linear(self, x, name, out):
        return F.linear(x, self.param(name + ".weight", out, x.shape[1]), self.param(name + ".bias", out))

    def bn(self, x, name):
        c = x.shape[1]
        mean, var = self.running.setdefault(name, (torch.zeros(c, dtype=DTYPE), torch.ones(c, dtype=DTYPE)))
        return F.batch_norm(x, mean, var, self.param(name + ".weight", c), self.param(name + ".bias", c), self.training, 0.1, 1e-5)

    def gn(self, x, name):
        c = x.shape[1]
        return F.group_norm(x, 1, self.param(name + ".weight", c), self.param(name + ".bias", c), 1e-5)

    def ln(self, x, name):
        """Over the channels of each pixel."""
        c = x.shape[1]
        y = F.layer_norm(x.movedim(1, -1), [c], self.param(name + ".weight", c), self.param(name + ".bias", c), 1e-5)
        return y.movedim(-1, 1)

    def initial(self, seed):
        for i, name in enumerate(sorted(self.p)):
            t = self.p[name]
            u = hashed(seed + i, t.numel()) * 2 - 1
            if t.dim() > 1:
                u *= (6.0 / (t.numel() / t.shape[0])) ** 0.5
            elif name.endswith("weight"):
                u = 1 + 0.2 * u
            else:
                u *= 0.1
            with torch.no_grad():
                t.copy_(torch.from_numpy(u.astype(np.float32).reshape(t.shape)))
        for mean, var in self.running.values():
            mean.zero_(), var.fill_(1)


def image(x, cfg):
    """uint8 [n,h,w,3] to normalised NCHW."""
    shape = (1, 3, 1, 1)
    mean, std = (torch.tensor(cfg[k], dtype=torch.float32).to(DTYPE).view(shape) for k in ("mean", "std"))
    return (torch.from_numpy(x).permute(0, 3, 1, 2).to(DTYPE) / 255 - mean) / std


# CPC: van den Oord et al. 2018, section 3.3, with group normalisation.

class CPC:
    def __init__(self, cfg):
        self.cfg, self.net = cfg, Net()
        self.nets = {"encoder_q": self.net}

    def batch(self, step):
        c = self.cfg
        x = pairs(c["seed"], step, c["batch"], c["size"])[0]
        p = c["patch"]
        return [np.stack([np.stack([x[:, i * p // 2:i * p // 2 + p, j * p // 2:j * p // 2 + p] for j in range(c["grid"])], 1)
                          for i in range(c["grid"])], 1)]

    def block(self, x, name, out, stride):
        n = self.net
        y = F.relu(n.gn(n.conv(x, name + ".conv1", out, 3, stride, 1), name + ".bn1"))
        y = n.gn(n.conv(y, name + ".conv2", out, 3, 1, 1), name + ".bn2")
        if stride > 1 or x.shape[1] != out:
            x = n.gn(n.conv(x, name + ".downsample.0", out, 1, stride), name + ".downsample.1")
        return F.relu(y + x)

    def context(self, z, name, hidden):
        n, x = self.net, z
        for i in range(5):
            at = f"{name}.{i}."
            y = F.relu(n.conv(x, at + "conv1", hidden, 1, bias=True))
            y = n.conv(y, at + "conv2", hidden, (1, 3), pad=(0, 1), bias=True)
            y = n.conv(F.pad(y, (0, 0, 1, 0)), at + "conv3", hidden, (2, 1), bias=True)
            x = x + n.conv(F.relu(y), at + "conv4", z.shape[1], 1, bias=True)
        return F.relu(x)

    def codes(self, x):
        """[b,g,g,p,p,3] to [b,c,g,g]."""
        c, n = self.cfg, self.net
        b, g = x.shape[:2]
        width = lambda w: max(1, round(w * c["width"]))
        y = image(x.reshape(b * g * g, *x.shape[3:]), c)
        y = F.relu(n.gn(n.conv(y, "conv1", width(64), 3, 1, 1), "bn1"))
        for stage in range(3):
            for block in range(c["depth"]):
                y = self.block(y, f"layer{stage + 1}.{block}", width(64 << stage), 2 if stage and not block else 1)
        return y.mean((2, 3)).view(b, g, g, -1).permute(0, 3, 1, 2)

    def losses(self, views, step):
        c, n = self.cfg, self.net
        x, = views
        b, g = x.shape[:2]
        width = lambda w: max(1, round(w * c["width"]))
        z = self.codes(x)
        targets = n.conv(z, "target", c["dim"], 1).permute(0, 2, 3, 1).reshape(b * g * g, -1)
        loss = 0
        place = torch.arange(b * g * g).view(b, 1, g, g)  # of the targets
        turns = {"down": lambda m: m, "up": lambda m: m.flip(2), "right": lambda m: m.mT, "left": lambda m: m.mT.flip(2)}
        for name in list(turns)[:c.get("directions", 2)]:
            context = self.context(turns[name](z), "context_" + name, width(256))
            for o in (2, 3, 4):
                prediction = 0.1 * n.conv(context, name + str(o), c["dim"], 1)
                labels = turns[name](place)[:, :, o:].flatten()
                rows = prediction[:, :, :g - o].permute(0, 2, 3, 1).reshape(len(labels), -1)
                loss = loss + F.cross_entropy(rows @ targets.T, labels)
        return {"encoder_q": loss}


# Deep InfoMax: Hjelm et al. 2019.

def estimate(positive, negative, estimator):
    """positive [n,q], negative [n,k,q] (code, other image, cell)."""
    n, q = positive.shape
    if estimator == "jsd":
        return F.softplus(-positive).mean() + F.softplus(negative).mean() - 2 * math.log(2)
    if estimator == "dv":
        return torch.logsumexp(negative.flatten(), 0) - math.log(negative.numel()) - positive.mean()
    rest = torch.logsumexp(negative.reshape(n, 1, -1), 2)
    return (torch.logaddexp(positive, rest) - positive).mean()


def scored(g, cells, estimator, scale=1.0, clip=0.0, penalty=0.0):
    """g [n,d], cells [n,q,d]."""
    n = len(g)
    raw = scale * torch.einsum("id,jqd->ijq", g, cells)
    u = clip * torch.tanh(raw / clip) if clip else raw
    own = torch.eye(n, dtype=torch.bool)
    return estimate(u[own], u[~own].view(n, n - 1, -1), estimator) + penalty * (raw**2).mean()


def cells(m):
    """[n,c,h,w] to [n,h*w,c]."""
    return m.flatten(2).transpose(1, 2)


class DIM:
    def __init__(self, cfg):
        self.cfg, self.net, self.d = cfg, Net(), Net()
        self.nets = {"encoder_q": self.net, "discriminator": self.d} if cfg["gamma"] else {"encoder_q": self.net}

    def batch(self, step):
        return pairs(self.cfg["seed"], step, self.cfg["batch"], self.cfg["size"])[:1]

    def layer(self, x, name, out, k, stride=1, pad=0):
        return F.relu(self.net.bn(self.net.conv(x, name, out, k, stride, pad), name + ".bn"))

    def critic(self, x, name, units=None):
        n, units = self.net, units or self.cfg["hidden"]
        y = n.conv(self.layer(x, name + ".conv1", units, 1), name + ".conv2", units, 1, bias=True)
        return n.ln(y + n.conv(x, name + ".shortcut", units, 1), name + ".norm")

    def discriminator(self, y):
        d = self.d
        return d.linear(F.relu(d.linear(F.relu(d.linear(y, "fc1", 1000)), "fc2", 200)), "fc3", 1)

    def score(self, x, y):
        n, q = self.net, "score_net.conv"
        x = torch.cat([x, y[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        x = F.relu(n.conv(x, q + "1", 512, 1, bias=True))
        return n.conv(F.relu(n.conv(x, q + "2", 512, 1, bias=True)), q + "3", 1, 1, bias=True).flatten(1)

    def upper(self, x, at):
        """The layers above the local map, under a name."""
        c = self.cfg
        width = lambda w: max(1, round(w * c["width"]))
        out, number = (256, 3) if c["size"] == 32 else (512, 4)
        return self.layer(self.layer(x, f"{at}conv{number}", width(out), 4, 2, 1), at + "fc", width(1024), 4).flatten(1)

    def encode(self, x):
        """The local map and the features."""
        for i, out in enumerate([64, 128] if self.cfg["size"] == 32 else [64, 128, 256]):
            x = self.layer(x, f"conv{i + 1}", max(1, round(out * self.cfg["width"])), 4, 2, 1)
        return x, self.upper(x, "")

    def occluded(self, pixels, step):
        c, pixels = self.cfg, pixels.copy()
        size, side = c["size"], round(c["occlude"] * c["size"])
        for i in range(len(pixels)):
            top, left = hidden(c["seed"], step, i, size - side + 1)
            pixels[i, top:top + side, left:left + side] = [round(255 * m) for m in c["mean"]]
        return pixels

    def coordinates(self, x, y, step):
        """Cross-entropies of where cells lie, and of how far from one another."""
        c, (n, _, side, _) = self.cfg, x.shape
        given = torch.cat([x, y[:, :, None, None].expand(-1, -1, side, side)], 1)
        row, column = (v.flatten() for v in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
        loss = 0
        if c["coordinates"] in ("absolute", "both"):
            logits = self.critic(given, "place_net", 2 * side).flatten(2)
            for k, target in enumerate([row, column]):
                loss = loss + F.cross_entropy(logits[:, k * side:(k + 1) * side], target.expand(n, -1))
        if c["coordinates"] in ("relative", "both"):
            p = torch.tensor([partners(c["seed"], step, i, side * side) for i in range(n)])
            other = torch.stack([x[i].flatten(1)[:, p[i]] for i in range(n)]).view_as(x)
            width = 2 * side - 1
            logits = self.critic(torch.cat([given, other], 1), "offset_net", 2 * width).flatten(2)
            for k, at in enumerate([row, column]):
                loss = loss + F.cross_entropy(logits[:, k * width:(k + 1) * width], at - at[p] + side - 1)
        return loss

    def losses(self, views, step):
        c, n = self.cfg, self.net
        x, h = self.encode(image(views[0], c))
        y = n.linear(h, "code", c["dim"])
        # The cells, and what is predicted of them, come of the whole images; the
        # code that is scored of the occluded ones.
        loss = self.coordinates(x, y, step) if "coordinates" in c else 0
        if "occlude" in c:
            y = n.linear(self.encode(image(self.occluded(views[0], step), c))[1], "code", c["dim"])
        if c.get("convolve"):
            # Negatives: the image's cells beside the next image's code.
            loss = loss + c["beta"] * estimate(self.score(x, y), self.score(x, y.roll(-1, 0))[:, None], c["estimator"])
        else:
            g = self.critic(y[:, :, None, None], "global_net").flatten(1)
        if c["beta"] and not c.get("convolve"):
            loss = loss + c["beta"] * scored(g, cells(self.critic(x, "local_net")), c["estimator"])
        if c["alpha"]:
            whole = n.linear(self.upper(x, "whole."), "whole.code", c["hidden"])
            loss = loss + c["alpha"] * scored(g, whole[:, None], c["estimator"])
        out = {"encoder_q": loss}
        if c["gamma"]:
            code = torch.sigmoid(y)
            v = torch.tensor(np.array([uniform(c["seed"], step, i, c["dim"]) for i in range(len(y))], np.float64), dtype=DTYPE)
            out["discriminator"] = F.softplus(-self.discriminator(v)).mean() + F.softplus(self.discriminator(code.detach())).mean()
            out["encoder_q"] = loss + c["gamma"] * F.softplus(-self.discriminator(code)).mean()
        return out


# AMDIM: Bachman et al. 2019.

class AMDIM:
    def __init__(self, cfg):
        self.cfg, self.net = cfg, Net()
        self.nets = {"encoder_q": self.net}

    def batch(self, step):
        return pairs(self.cfg["seed"], step, self.cfg["batch"], self.cfg["size"])

    def residual(self, x, name, out, k, stride):
        n = self.net
        y = n.conv(F.relu(n.conv(x, name + ".conv1", out, k, stride)), name + ".conv2", out, 1)
        if x.shape[1] > out:
            return y + n.conv(x, name + ".conv3", out, k, stride, bias=True)
        x = F.avg_pool2d(x, k, stride)
        return y + F.pad(x, (0, 0, 0, 0, 0, out - x.shape[1]))

    def stage(self, x, name, out, k, stride):
        for i in range(self.cfg["depth"]):
            x = self.residual(x, f"{name}.{i}", out, *((k, stride) if i == 0 else (1, 1)))
        return x

    def rkhs(self, x, name):
        n, d = self.net, self.cfg["dim"]
        y = n.conv(F.relu(n.conv(x, name + ".conv1", d, 1)), name + ".conv2", d, 1)
        return n.bn(y + n.conv(x, name + ".shortcut", d, 1, bias=True), name + ".bn")

    def encode(self, x):
        c, n = self.cfg, self.net
        w, wide = round(128 * c["width"]), 8
        x = image(x, c)
        if c["size"] == 128:
            x = F.relu(n.conv(F.pad(x, (2, 2, 2, 2), mode="reflect"), "stem0", w, 5, 2))
        x = F.relu(n.conv(x, "stem", w, 3))
        if c["size"] == 32:
            wide = 4
            x = self.stage(self.residual(x, "res0", w, 1, 1), "res1", 2 * w, 4, 2)
        else:
            x = self.stage(self.stage(x, "res0", 2 * w, 4, 2), "res1", 4 * w, 4, 2)
        r7 = self.stage(x, "res2", wide * w, 2, 2)
        r5 = self.stage(r7, "res3", wide * w, 3, 1)
        x = self.stage(r5, "res4", wide * w, 3, 1)
        r1 = n.bn(self.residual(x, "rkhs1", c["dim"], 3, 1), "rkhs1.bn")
        self.components = None
        if c.get("mixture"):
            v = r1.flatten(1)
            h = F.relu(n.linear(v, "mixture.fc1", c["dim"]))
            self.components = torch.stack([v + n.linear(h, f"mixture.fc2.{k}", c["dim"]) for k in range(c["mixture"])], 1)
        return {1: cells(r1), 5: cells(self.rkhs(r5, "rkhs5")), 7: cells(self.rkhs(r7, "rkhs7"))}

    def mixture(self, f, m):
        """Components [n,k,d] against cells [n,q,d]: section 3.5."""
        c = self.cfg
        n, k, q = len(f), f.shape[1], m.shape[1]
        raw = c["dim"] ** -0.5 * torch.einsum("ikd,jqd->ikjq", f, m)
        t = c["clip"] * torch.tanh(raw / c["clip"])
        total = 0
        for i in range(n):
            positive = t[i, :, i]
            negatives = torch.cat([t[i, :, j] for j in range(n) if j != i], 1)
            s = positive - torch.logsumexp(torch.cat([positive[:, :, None], negatives[:, None].expand(-1, q, -1)], 2), 2)
            log = F.log_softmax(c["sharpness"] * s, 0)
            total = total - (log.exp() * s - c["entropy"] * log.exp() * log).sum() / (n * q)
        return total + c["penalty"] * (raw**2).mean()

    def losses(self, views, step):
        c = self.cfg
        r = []
        for v in views:
            r.append(self.encode(v))
            r[-1]["components"] = self.components
        loss, n = 0, c["batch"]
        for a, b in ((1, 5), (1, 7), (5, 5)):
            for d in range(2):
                if b == 7 and c.get("mixture"):
                    loss = loss + 0.5 * self.mixture(r[d]["components"], r[1 - d][7])
                    continue
                at = [cell(c["seed"], step, d * n + i, 25) if a == 5 else 0 for i in range(n)]
                source = r[d][a][torch.arange(n), at]
                loss = loss + 0.5 * scored(source, r[1 - d][b], "nce", c["dim"] ** -0.5, c["clip"], c["penalty"])
        return {"encoder_q": loss}


METHODS = {"cpc": CPC, "dim": DIM, "amdim": AMDIM}


def signs(n):
    """16 rows of fixed signs."""
    z = (hashed(77, n) * (1 << 24)).astype(np.uint64)
    return 1 - 2 * (z[None] >> np.arange(16, dtype=np.uint64)[:, None] & np.uint64(1)).astype(np.float64)


def sketch(t):
    t = t.detach().numpy().ravel()
    return dict(norm=float(f"{np.linalg.norm(t):.7g}"), sums=[float(f"{v:.7g}") for v in signs(t.size) @ t])


def run(cfg, optimiser, steps):
    method = METHODS[cfg["method"]](cfg)
    method.losses(method.batch(0), 0)  # names the parameters
    for i, net in enumerate(method.nets.values()):
        net.initial(cfg["seed"] + 1000 * i)
    opts = {name: optimiser(list(net.p.values())) for name, net in method.nets.items()}
    before = {name: {k: v.detach().clone() for k, v in net.p.items()} for name, net in method.nets.items()}
    out = dict(losses=[], gradients={}, moved={}, running={})
    for step in range(steps):
        losses = method.losses(method.batch(step), step)
        grads = {name: torch.autograd.grad(losses[name], list(net.p.values()), retain_graph=True) for name, net in method.nets.items()}
        for name, net in method.nets.items():
            for p, g, k in zip(net.p.values(), grads[name], net.p):
                p.grad = g
                if step == 0:
                    out["gradients"][name + "." + k] = sketch(g)
            opts[name].step()
        out["losses"].append({k: v.item() for k, v in losses.items()})
        if step == 1:
            for name, net in {**method.nets, **getattr(method, "copies", {})}.items():
                for k, v in net.p.items():
                    out["moved"][name + "." + k] = sketch(v - before[name if name in before else "encoder_q"][k])
                for k, (mean, var) in net.running.items():
                    out["running"][f"{name}.{k}.running_mean"], out["running"][f"{name}.{k}.running_var"] = sketch(mean), sketch(var)
    return out


CIFAR10 = dict(mean=[.4914, .4822, .4465], std=[.2023, .1994, .2010])
DIMS = dict(method="dim", batch=5, size=32, width=0.125, dim=9, hidden=20, depth=0, sgd=1e-3, adam=1e-4, beta1=0.9, eps=1e-8, weight_decay=0, **CIFAR10)
RUNS = [
    dict(name="cpc", method="cpc", seed=3, batch=3, size=32, grid=7, patch=8, width=0.125, dim=12, depth=1,
         sgd=1e-3, adam=2e-4, beta1=0.8, eps=1e-7, weight_decay=1e-5, **CIFAR10),
    dict(name="cpc-four", method="cpc", seed=17, batch=2, size=32, grid=7, patch=8, width=0.0625, dim=12, depth=1, directions=4,
         sgd=1e-3, adam=2e-4, beta1=0.8, eps=1e-7, weight_decay=1e-5, **CIFAR10),
    dict(name="dim-local-jsd", seed=4, estimator="jsd", alpha=0, beta=1, gamma=0.1, **DIMS),
    dict(name="dim-local-nce", seed=5, estimator="nce", alpha=0, beta=1, gamma=0.1, **DIMS),
    dict(name="dim-both-dv", seed=6, estimator="dv", alpha=0.5, beta=0.1, gamma=0, **DIMS),
    dict(name="dim-convolve-jsd", seed=10, estimator="jsd", alpha=0, beta=1, gamma=0.1, convolve=True, **{**DIMS, "width": 0.0625}),
    dict(name="dim-convolve-nce", seed=12, estimator="nce", alpha=0, beta=1, gamma=0, convolve=True, **{**DIMS, "width": 0.0625}),
    dict(name="dim-convolve-dv", seed=13, estimator="dv", alpha=0, beta=1, gamma=0, convolve=True, **{**DIMS, "width": 0.0625}),
    dict(name="dim-coordinates", seed=14, estimator="jsd", alpha=0, beta=1, gamma=0, coordinates="both", **{**DIMS, "width": 0.0625}),
    dict(name="dim-occluded", seed=15, estimator="nce", alpha=0.5, beta=0.1, gamma=0.1, coordinates="relative", occlude=0.4, **{**DIMS, "width": 0.0625}),
    dict(name="dim-global", seed=7, estimator="jsd", alpha=1, beta=0, gamma=1, **{**DIMS, "size": 64, "width": 0.0625, "sgd": 2e-4}),
    dict(name="amdim", method="amdim", seed=8, batch=5, size=32, width=8 / 128, dim=20, depth=2, clip=20.0, penalty=0.04,
         sgd=1e-3, adam=2e-4, beta1=0.8, eps=1e-8, weight_decay=1e-5, **CIFAR10),
    dict(name="amdim-mixture", method="amdim", seed=16, batch=4, size=32, width=4 / 128, dim=18, depth=1, clip=20.0, penalty=0.04,
         mixture=3, sharpness=1.5, entropy=0.3, sgd=1e-3, adam=2e-4, beta1=0.8, eps=1e-8, weight_decay=1e-5, **CIFAR10),
    dict(name="amdim-64", method="amdim", seed=9, batch=4, size=64, width=4 / 128, dim=18, depth=1, clip=20.0, penalty=0.04,
         sgd=1e-3, adam=2e-4, beta1=0.8, eps=1e-8, weight_decay=1e-5, **CIFAR10),
]


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    runs = []
    for cfg in RUNS:
        sgd = lambda p: torch.optim.SGD(p, cfg["sgd"], momentum=0.9, weight_decay=cfg["weight_decay"])
        adam = lambda p: torch.optim.Adam(p, cfg["adam"], (cfg["beta1"], 0.999), cfg["eps"], cfg["weight_decay"])
        runs.append(dict(config=cfg, sgd=run(cfg, sgd, 20), adam=run(cfg, adam, 20)["losses"]))
        print(cfg["name"], [round(v["encoder_q"], 4) for v in runs[-1]["sgd"]["losses"][::6]], [round(v["encoder_q"], 4) for v in runs[-1]["adam"][::6]])
    versions = dict(torch=torch.__version__, numpy=np.__version__, python=platform.python_version())
    with open(os.path.join(here, "selfsupervised_golden.json"), "w") as f:
        json.dump(dict(command="python contrast/testdata/selfsupervised.py", versions=versions, runs=runs), f, separators=(",", ":"))


if __name__ == "__main__":
    main()
