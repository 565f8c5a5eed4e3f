"""What clpipe and PyTorch learn in equal time: every method, from shards to a judge.

    go build -o clpipe ./cmd/clpipe
    python benchmarks/equal_time.py --binary ./clpipe --src 'cifar10/train-*.tar' --test 'cifar10/test-*.tar' \\
      --minutes 4 --methods simclr infonce dim cpc amdim --width 0.25

For each method in turn clpipe trains for so many minutes (--budget), then PyTorch
for as many seconds as clpipe took, on all cores, from the same weights, by the
recipe in the run's config.yaml: see peers/train_torch.py. Neither's trial counts.
One judge (peers/judge.py) takes the kNN and the linear probe of both and of the
untrained network. Prints a Markdown table; the figures behind it go to a JSON file
after every method. The machine should be idle.
"""
import argparse, datetime, json, os, pathlib, shlex, subprocess, sys

from compare import HERE, RAISED, ROOT, processor

PEERS = HERE / "peers"


def clpipe(a, *args):
    subprocess.run([a.binary, *map(str, args), "--quiet"], check=True)


def python(script, *args, **env):
    """Runs a script of the peers and returns its lines of JSON."""
    command = [sys.executable, str(PEERS / script), *map(str, args)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}).stdout
    return [json.loads(line) for line in out.splitlines()]


def images(a, pattern, path):
    """Labelled images as they are, as a file of Arrow records."""
    clpipe(a, "augment", "--policy", "none", "--size", 32, "--shuffle=false", "--src", pattern, "--output", path)


def measure(a, method, train, test):
    folder = pathlib.Path(a.runs) / method
    start, ours, theirs = (folder / name for name in ("start", "clpipe", "torch"))
    options = ["train", "--src", a.src, "--method", method, "--width", a.width, "--seed", a.seed]
    if method in ("moco", "infonce"):
        options += ["--split-bn", 1]  # the others have plain statistics
    clpipe(a, *options, "--steps", 1, "--lr", 0, "--run", start)
    rate = [] if a.lr is None else ["--lr", a.lr]
    clpipe(a, *options, *rate, "--budget", f"{60 * a.minutes}s", "--run", ours)
    summary = json.loads((ours / "summary.json").read_text())
    peer, = python("train_torch.py", "--run", ours, "--start", start, "--out", theirs, "--src", a.src, "--seconds", summary["wall_seconds"], **RAISED)
    judged = python("judge.py", "--train", train, "--test", test, "--bank", a.bank, start, ours, theirs)
    kept = ("knn", "linear")
    untrained, own, other = ({k: j[k] for k in kept} for j in judged)
    return dict(method=method, bank=judged[0]["train"], test=judged[0]["test"], config=(ours / "config.yaml").read_text(), untrained=untrained,
                clpipe=dict(seconds=summary["wall_seconds"], steps=summary["steps"], batch=peer["batch"], versions=summary["versions"], **own),
                torch={**peer, **other})


def row(r):
    sides = [r["clpipe"], r["torch"]]
    cells = [r["method"], sides[0]["batch"], *(f"{s['seconds']:.0f}" for s in sides), *(f"{s['steps']:,}" for s in sides),
             *(f"{s['steps'] * s['batch'] / s['seconds']:,.0f}" for s in sides)]
    for figure in ("knn", "linear"):
        cells += [f"{100 * side[figure]:.1f}" for side in (r["untrained"], *sides)]
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD = """| method | batch | seconds, clpipe | PyTorch | steps, clpipe | PyTorch | images/s, clpipe | PyTorch | kNN, untrained | clpipe | PyTorch | linear, untrained | clpipe | PyTorch |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", required=True)
    p.add_argument("--src", required=True, help="training shards, labelled JPEGs of 32 px")
    p.add_argument("--test", required=True)
    p.add_argument("--minutes", type=float, default=4)
    p.add_argument("--methods", nargs="+", default=["simclr", "infonce", "dim", "cpc", "amdim"], help="also moco")
    p.add_argument("--width", type=float, default=0.25)
    p.add_argument("--lr", help="of both sides, in place of the recipe's, which is for days")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bank", type=int, default=20000, help="training images that the judge learns from")
    p.add_argument("--runs", default=str(HERE / "results" / "equal-time"), help="new folder for the runs")
    p.add_argument("--output", default=str(HERE / "results" / "equal-time.json"))
    a = p.parse_args()
    a.binary = os.path.abspath(a.binary)
    if os.path.exists(a.runs):
        p.error(f"--runs {a.runs} is there already: name a new folder, or remove it")
    pathlib.Path(a.runs).mkdir(parents=True)
    train, test = (pathlib.Path(a.runs) / name for name in ("train.arrows", "test.arrows"))
    images(a, a.src, train)
    images(a, a.test, test)
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    result = dict(date=datetime.date.today().isoformat(), commit=commit, command=shlex.join(["python", "benchmarks/equal_time.py", *sys.argv[1:]]),
                  processor=processor(), cores=os.cpu_count(), load=os.getloadavg(), methods=[])
    for method in a.methods:
        result["methods"].append(measure(a, method, train, test))
        pathlib.Path(a.output).write_text(json.dumps(result, indent=1))  # an interrupted run keeps what it has
    print(HEAD, *map(row, result["methods"]), sep="\n")


if __name__ == "__main__":
    main()
