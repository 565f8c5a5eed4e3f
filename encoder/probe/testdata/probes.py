"""kNN and logistic regression in PyTorch, in float64, as an independent judge.

Features come from a hash of their place, so that the golden file holds results
only. Without arguments it writes probes.json beside itself:

    python encoder/probe/testdata/probes.py

Made with the versions in the file, on one thread. There is no seed: nothing is drawn.
"""
import json, os, platform
import numpy as np
import torch
import torch.nn.functional as F


def hashed(seed, n):
    """n uniform numbers in [0,1): the SplitMix64 finaliser over a counter."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / float(1 << 24)


def features(seed, n, d, classes, signal):
    """Labels, and noise of uneven scale and mean about a centre for each class."""
    labels = (hashed(seed, n) * classes).astype(np.int64)
    centres = hashed(999, classes * d).reshape(classes, d) - 0.5
    noise = hashed(seed + 1, n * d).reshape(n, d) - 0.5
    scale = 0.1 + 10 * hashed(998, d)
    mean = 6 * hashed(997, d) - 3
    x = ((signal * centres[labels] + noise) * scale + mean).astype(np.float32)
    return torch.from_numpy(x).double(), torch.from_numpy(labels)


def knn(bank, y, test, k, temperature, classes):
    similar = F.normalize(test, dim=1) @ F.normalize(bank, dim=1).T
    value, index = similar.topk(k, dim=1)
    scores = torch.zeros(len(test), classes, dtype=torch.float64)
    scores.scatter_add_(1, y[index], (value / temperature).exp())
    return scores.argmax(1)


def linear(train, y, test, l2, classes):
    mean, var = train.mean(0), train.var(0, unbiased=False)
    train, test = (train - mean) / (var + 1e-5).sqrt(), (test - mean) / (var + 1e-5).sqrt()
    w = torch.zeros(train.shape[1], classes, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([w, b], max_iter=5000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def objective():
        return F.cross_entropy(train @ w + b, y) + l2 / 2 * (w * w).sum()

    def closure():
        optimiser.zero_grad()
        loss = objective()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return objective().item(), (test @ w + b).argmax(1)


def main():
    torch.set_num_threads(1)
    out = {"versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}, "cases": []}
    for seed, n, m, d, classes, signal in [(1, 300, 120, 7, 4, 0.6), (3, 900, 200, 24, 10, 0.5), (5, 64, 300, 40, 3, 0.3)]:
        train, y = features(seed, n, d, classes, signal)
        test, labels = features(seed + 10, m, d, classes, signal)
        case = {"seed": seed, "train": n, "test": m, "dim": d, "classes": classes, "signal": signal, "knn": [], "linear": []}
        for k, temperature in [(1, 0.1), (20, 0.07), (200, 0.1)]:
            k = min(k, n)
            correct = (knn(train, y, test, k, temperature, classes) == labels).sum().item()
            case["knn"].append({"k": k, "temperature": temperature, "correct": correct})
        for l2 in [1.0, 1e-2, 1e-4]:
            objective, predicted = linear(train, y, test, l2, classes)
            case["linear"].append({"l2": l2, "objective": objective, "correct": (predicted == labels).sum().item()})
        out["cases"].append(case)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "probes.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
