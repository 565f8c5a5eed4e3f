"""clpipe itself from shards to trained weights, in one process or in three joined by pipes.

A run is measured by two lengths, so that starting, the first images and the last
checkpoint do not count: pairs/s is the pairs between them over the difference of
their times.
"""
import argparse, json, pathlib, subprocess, sys, tempfile, time


def command(a, steps, directory):
    train = ["--run", directory, "--steps", steps, "--width", a.width, "--batch", a.batch, "--queue", 4096, "--split-bn", 1]
    source = ["--src", a.src]
    if a.processes == 1:
        return [[*source, *train]]
    return [["ingest", *source, "--epochs", 0], ["augment", "--policy", "moco-cifar"], ["train", *train]]


def run(a, steps):
    """Seconds and digests of a run."""
    with tempfile.TemporaryDirectory() as scratch:
        start, last, processes = time.perf_counter(), None, []
        for arguments in command(a, steps, pathlib.Path(scratch) / "run"):
            p = subprocess.Popen([a.binary, *map(str, arguments), "--workers", str(a.threads), "--quiet"],
                                 stdin=last, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if last:
                last.close()  # the next process alone holds it, so that the one before learns of its end
            last = p.stdout
            processes.append(p)
        digests = json.loads((pathlib.Path(scratch) / "run" / "summary.json").read_text())["digests"] if processes[-1].wait() == 0 else None
        took = time.perf_counter() - start
        for p in processes:
            if p.wait() != 0:
                raise RuntimeError(p.stderr.read().decode())
        return took, digests


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--binary", required=True)
    p.add_argument("--processes", type=int, choices=[1, 3], required=True)
    p.add_argument("--src", required=True)
    p.add_argument("--width", type=float, default=0.25)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--steps", type=int, nargs=2, default=[4, 20], help="of the short and of the long run")
    a = p.parse_args()
    digests = run(a, a.steps[0])[1]  # files are in memory from now on
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        rates = []
        for _ in range(int(line)):
            (short, first), (long, _) = run(a, a.steps[0]), run(a, a.steps[1])
            if first != digests:
                raise RuntimeError(f"two equal runs ended with {digests} and {first}")
            rates.append((a.steps[1] - a.steps[0]) * a.batch / (long - short))
        print(json.dumps({"total": rates}), flush=True)


if __name__ == "__main__":
    main()
