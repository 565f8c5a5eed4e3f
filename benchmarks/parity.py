"""Step parity with PyTorch: the built program beside moco.py, at any size.

From the same initial weights, on the same pairs, with an empty queue and a
learning rate of 0.003, both train for some steps. Compared are the second loss
(the first with negatives; 1e-5 relative), all losses (1e-2), and what two steps
changed in each tensor (5 %, in the median 1 %). Training in float32 amplifies
rounding, so that later losses say little: PyTorch in double precision leaves
PyTorch in single by as much (--float64 tells by how much).

    go build -o clpipe ./cmd/clpipe
    python benchmarks/parity.py --binary ./clpipe
    python benchmarks/parity.py --binary ./clpipe --sizes 0.5:37:40:mlp --conv auto

A size is WIDTH:BATCH:SIDE:HEAD. The exit code is 1 if a bound is missed.
"""
import argparse, json, os, pathlib, subprocess, sys, tempfile
import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "contrast" / "testdata"))
import moco  # noqa: E402

SEED = 7
SIZES = ["0.25:64:32:linear", "0.25:37:40:mlp", "0.5:37:40:linear", "0.5:64:32:mlp", "1.0:64:32:linear", "1.0:37:40:mlp"]


def configuration(size, steps):
    width, batch, side, head = size.split(":")
    return dict(seed=SEED, steps=steps, width=float(width), batch=int(batch), side=int(side), mlp=head == "mlp", dim=128, cifar=True, queue=4 * int(batch),
                temperature=0.1, momentum=0.99, lr=0.003, weight_decay=5e-4, threads=torch.get_num_threads(), **moco.CIFAR10)


def initial(cfg):
    net = moco.ResNet18(cfg["width"], cfg["dim"], cfg["cifar"], cfg["mlp"])
    moco.initial(net, cfg["seed"])
    return {k: v.clone() for k, v in net.state_dict().items()}


def write_pairs(sink, cfg):
    """An Arrow stream of pairs/1 without ids, one record a step."""
    side = cfg["side"]
    view = pa.fixed_shape_tensor(pa.uint8(), [side, side, 3])
    schema = pa.schema([("anchor", view), ("positive", view)], metadata={"clpipe.schema": "pairs/1"})

    def column(pixels):
        flat = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), side * side * 3)
        return pa.ExtensionArray.from_storage(view, flat)

    with pa.ipc.new_stream(sink, schema) as out:
        for step in range(cfg["steps"]):
            out.write_batch(pa.record_batch([column(v) for v in moco.pairs(cfg["seed"], step, cfg["batch"], side)], schema=schema))


def clpipe(binary, cfg, conv, folder):
    """Trains the program and returns its losses and the tensors after two steps."""
    save_file(initial(cfg), folder / "init.safetensors")
    run = folder / conv
    command = [binary, "train", "--method", "moco-cifar", "--init", str(folder / "init.safetensors"), "--queue-init", "empty", "--split-bn", "1",
               "--lr", cfg["lr"], "--schedule", "constant", "--steps", cfg["steps"], "--log-every", 1, "--checkpoint-every", 2, "--keep", cfg["steps"],
               "--batch", cfg["batch"], "--queue", cfg["queue"], "--temperature", cfg["temperature"], "--momentum", cfg["momentum"],
               "--weight-decay", cfg["weight_decay"], "--normalize", "cifar10", "--conv", conv, "--run", run, "--quiet"]
    with subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        try:
            write_pairs(p.stdin, cfg)
            p.stdin.close()
        except BrokenPipeError:
            pass  # its message and exit code say why
        message = p.stderr.read().decode()
        if p.wait() != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit code {p.returncode}: {message}")
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [e["loss"] for e in entries if "loss" in e]
    return losses, load_file(run / "checkpoints" / "step-00000002" / "encoder_q.safetensors")


def reference(cfg, dtype=torch.float32):
    losses, moved = moco.run(cfg, cfg["steps"], dtype)
    return losses, {k: v.double() for k, v in moved.items()}


def compare(losses, moved, ref_losses, ref_moved):
    relative = [abs(a - b) / max(abs(b), 1e-9) for a, b in zip(losses, ref_losses)]
    apart = {k: (float((moved[k] - m).norm() / m.norm()) if float(m.norm()) > 0 else 0.0) for k, m in ref_moved.items()}
    worst = max(apart, key=apart.get)
    return dict(second=relative[1], all=max(relative[1:]), median=float(np.median(list(apart.values()))), largest=apart[worst], tensor=worst)


def within(r):
    return r["second"] <= 1e-5 and r["all"] <= 1e-2 and r["largest"] <= 0.05 and r["median"] <= 0.01


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTH:BATCH:SIDE:HEAD")
    parser.add_argument("--conv", nargs="+", default=["auto", "direct"])
    parser.add_argument("--steps", type=int, default=20, help="at least 2")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--float64", action="store_true", help="also PyTorch in double precision against itself in single")
    parser.add_argument("--output", help="JSON file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results, missed = [], False
    print(f"{'size':20} {'beside PyTorch':16} {'second loss':>12} {'all losses':>12} {'moved, median':>14} {'largest':>10}")
    for size in args.sizes:
        cfg = configuration(size, args.steps)
        before = {k: v.double() for k, v in initial(cfg).items()}
        ref = reference(cfg)
        with tempfile.TemporaryDirectory() as folder:
            rows = []
            for conv in args.conv:
                losses, after = clpipe(os.path.abspath(args.binary), cfg, conv, pathlib.Path(folder))
                if len(losses) != args.steps:
                    sys.exit(f"{size}: {len(losses)} losses, want {args.steps}")
                rows.append((f"--conv {conv}", compare(losses, {k: after[k].double() - before[k] for k in ref[1]}, *ref)))
            if args.float64:
                rows.append(("itself, float64", compare(*reference(cfg, torch.float64), *ref)))
        for name, r in rows:
            ok = within(r) or not name.startswith("--conv")
            missed = missed or not ok
            results.append(dict(size=size, steps=args.steps, case=name, within=within(r), **r))
            print(f"{size:20} {name:16} {r['second']:12.2g} {r['all']:12.2g} {r['median']:14.2g} {r['largest']:10.2g} {r['tensor']}{'' if ok else '  MISSED'}",
                  flush=True)
    if args.output:
        pathlib.Path(args.output).write_text(json.dumps(dict(torch=torch.__version__, steps=args.steps, results=results), indent=1))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
