"""Training curves with Winograd's convolutions (--conv auto) beside direct ones.

Every seed trains once with either, on the same pairs from the same weights. The
curves of one seed part by rounding alone, and must stay as close as those of
different seeds: over the last third of the run, the mean distance of the losses,
smoothed over 20 steps, between the algorithms is compared with that between the
seeds under direct convolution. The exit code is 1 where it is larger.

    go build -o clpipe ./cmd/clpipe
    python benchmarks/curve.py --binary ./clpipe --plot curve.png
"""
import argparse, itertools, json, os, pathlib, subprocess, sys, tempfile
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "cifar10" / "train-*.tar"
ALGORITHMS = ["direct", "auto"]
WINDOW = 20  # steps a curve is smoothed over


def train(binary, a, conv, seed, folder):
    run = folder / f"{conv}-{seed}"
    command = [binary, "train", "--src", a.src, "--method", "moco-cifar", "--size", 32, "--width", a.width, "--batch", a.batch, "--queue", 4096,
               "--steps", a.steps, "--seed", seed, "--shuffle", "--conv", conv, "--log-every", 1, "--run", run, "--quiet"]
    subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, check=True)
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [e["loss"] for e in entries if "loss" in e]


def smooth(losses):
    return np.convolve(losses, np.ones(WINDOW) / WINDOW, "valid")


def distance(one, other):
    """Between two smoothed curves, over the last third."""
    apart = np.abs(smooth(one) - smooth(other))
    return float(apart[-max(1, len(apart) // 3):].mean())


def plot(curves, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for (conv, seed), losses in curves.items():
        curve = smooth(losses)
        axes.plot(np.arange(len(curve)) + WINDOW, curve, color=f"C{seed - 1}", linestyle="-" if conv == "direct" else "--", label=f"{conv}, seed {seed}")
    axes.set(xlabel="step", ylabel=f"InfoNCE loss, mean of {WINDOW} steps")
    axes.legend()
    figure.savefig(path, dpi=120)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", required=True)
    p.add_argument("--src", default=str(DATA))
    p.add_argument("--width", type=float, default=0.25)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--seeds", type=int, default=2, help="at least 2")
    p.add_argument("--plot", help="PNG file for the curves; needs matplotlib")
    p.add_argument("--output", help="JSON file for the losses")
    a = p.parse_args()
    seeds = range(1, a.seeds + 1)
    with tempfile.TemporaryDirectory() as folder:
        curves = {(conv, seed): train(os.path.abspath(a.binary), a, conv, seed, pathlib.Path(folder)) for seed in seeds for conv in ALGORITHMS}
    between = max(distance(curves["direct", s], curves["auto", s]) for s in seeds)
    noise = max(distance(curves["direct", s], curves["direct", t]) for s, t in itertools.combinations(seeds, 2))
    for (conv, seed), losses in curves.items():
        print(f"{conv:7} seed {seed}: loss of the last {WINDOW} steps {smooth(losses)[-1]:.4f}")
    print(f"between the algorithms {between:.4f}, between the seeds {noise:.4f}")
    if a.plot:
        plot(curves, a.plot)
    if a.output:
        pathlib.Path(a.output).write_text(json.dumps([dict(conv=c, seed=s, losses=v) for (c, s), v in curves.items()]))
    sys.exit(between > noise)


if __name__ == "__main__":
    main()
