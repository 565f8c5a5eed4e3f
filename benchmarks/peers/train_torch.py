"""Trains any method in PyTorch by the recipe of a clpipe run, from the same weights.

At equal steps, on the same views in the same order (contrast with --src below):

    clpipe --src TRAIN --method cpc --width 0.25 --steps 1 --lr 0 --run runs/start
    clpipe --src TRAIN --method cpc --width 0.25 --steps 300 --run runs/cpc
    clpipe augment --policy cpc --size 32 --src TRAIN --epochs 0 --batch 64 |
      python benchmarks/peers/train_torch.py --run runs/cpc --start runs/start --out runs/torch
    python benchmarks/peers/judge.py --train train.arrows --test test.arrows runs/start runs/cpc runs/torch

At equal time (benchmarks/equal_time.py does it all), with --src and --seconds, views
are those of the usual loader: torchvision's transforms on WebDataset's samples, in
as many processes as there are threads. The clock, which sets the learning rate, then
starts after a trial that finds the faster layout. The last line is a JSON object.
"""
import argparse, json, os, sys, time
import numpy as np
import torch

import feed, methods

TRIES = 4  # steps of each layout, the first of which warms up


def from_loader(a, c):
    """Batches by PyTorch's own loader, as feed.records gives them: the channels last."""
    a.policy, a.size, a.batch = c["policy"], c["size"], c["batch"]
    for views in feed.from_webdataset(a)[0]:
        yield [v.movedim(-3, -1).numpy() for v in views]


def from_program(c):
    """The views that clpipe augment writes to standard input."""
    columns = ["anchor"] if c["method"] in ("cpc", "dim") else ["anchor", "positive"]
    for step, (views, _) in enumerate(feed.records(sys.stdin.buffer, columns)):
        if step == c["steps"]:
            return
        yield views


def faster(trainer, views):
    """The layout in which a step takes less time, tried in turn."""
    took = {layout: [] for layout in methods.LAYOUTS}
    trials = {layout: trainer(layout) for layout in took}
    for _ in range(TRIES):
        for layout, trial in trials.items():
            start = time.perf_counter()
            trial.step(views, 0.0)
            took[layout].append(time.perf_counter() - start)
    return min(took, key=lambda layout: min(took[layout][1:]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", required=True, help="run of clpipe whose recipe is followed")
    p.add_argument("--start", required=True, help="run of clpipe with the initial weights")
    p.add_argument("--out", required=True, help="folder for the weights, laid out as a run")
    p.add_argument("--src", help="shards that torchvision and WebDataset read, in place of views on standard input")
    p.add_argument("--seconds", type=float, help="length, with --src, in place of the run's steps")
    p.add_argument("--kind", choices=["pil", "tensor"], default="pil", help="of torchvision's images")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    if (a.src is None) != (a.seconds is None):
        p.error("--src and --seconds go together")
    torch.set_num_threads(a.threads)
    c = methods.recipe(a.run)
    torch.manual_seed(c["seed"])
    np.random.seed(c["seed"])
    trainer = lambda layout: methods.Trainer(methods.load(c, a.start, layout))
    layout, batches = "channels last", from_program(c)
    if a.src:
        methods.own_draws()
        batches = from_loader(a, c)
        layout = faster(trainer, next(batches))
    t, losses, start, elapsed = trainer(layout), [], time.perf_counter(), 0.0
    for views in batches:
        elapsed = time.perf_counter() - start
        if a.seconds and elapsed >= a.seconds:
            break
        losses.append(t.step(views, methods.rate(c, elapsed / a.seconds if a.seconds else len(losses) / c["steps"])))
        if len(losses) % 20 == 0:
            print(f"step {len(losses)} loss {losses[-1]:.4f} after {elapsed:.0f} s", file=sys.stderr, flush=True)
    elapsed = time.perf_counter() - start
    methods.save(t.m, a.run, a.out, len(losses))
    print(json.dumps(dict(method=c["method"], steps=len(losses), batch=c["batch"], seconds=elapsed, layout=layout,
                          first_loss=losses[0], last_loss=float(np.mean(losses[-20:])), torch=torch.__version__)))


if __name__ == "__main__":
    main()
