"""Resident memory of clpipe augment over a long run, as a plot.

    python benchmarks/memory.py --binary ./clpipe --src '../shared/data/imagenet-sample/train-*.tar' --minutes 5

Runs `clpipe augment` over the shards again and again, takes the pairs from its
pipe and lets them go, and reads the resident size of the process every half
second from /proc. Prints the size after the first fifth, at the end, the line
fitted in between, and writes memory.png beside this script.
"""
import argparse, json, pathlib, subprocess, threading, time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20


def resident(pid):
    """Bytes of the process in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/{pid}/status names no VmRSS")


def drain(stream, taken):
    while chunk := stream.read1(MIB):
        taken[0] += len(chunk)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", required=True)
    p.add_argument("--src", required=True)
    p.add_argument("--policy", default="moco-v2")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--output", default=str(HERE / "memory.png"))
    a = p.parse_args()
    args = ["augment", "--src", a.src, "--policy", a.policy, "--size", a.size, "--batch", a.batch, "--workers", a.workers, "--epochs", 0, "--quiet"]
    process = subprocess.Popen([a.binary, *map(str, args)], stdout=subprocess.PIPE)
    taken = [0]
    reader = threading.Thread(target=drain, args=(process.stdout, taken), daemon=True)
    reader.start()
    start, seconds, sizes = time.perf_counter(), [], []
    while (now := time.perf_counter() - start) < 60 * a.minutes:
        if process.poll() is not None:
            raise SystemExit(f"clpipe ended with exit code {process.returncode}")
        seconds.append(now)
        sizes.append(resident(process.pid) / MIB)
        time.sleep(0.5)
    process.terminate()
    process.wait()
    warm = len(sizes) // 5
    slope, at = np.polyfit(seconds[warm:], sizes[warm:], 1)
    pairs = taken[0] / (2 * 3 * a.size * a.size)
    print(json.dumps(dict(minutes=a.minutes, pairs=round(pairs), mib_after_a_fifth=round(sizes[warm], 1), mib_at_the_end=round(sizes[-1], 1),
                          mib_at_most=round(max(sizes), 1), mib_an_hour=round(3600 * slope, 2))))
    figure, axes = plt.subplots(figsize=(6, 3), dpi=80, layout="constrained")
    axes.plot(np.array(seconds) / 60, sizes, linewidth=0.8)
    axes.plot(np.array(seconds[warm:]) / 60, at + slope * np.array(seconds[warm:]), linewidth=0.8)
    axes.set(xlabel="minutes", ylabel="resident, MiB", ylim=(0, 1.2 * max(sizes)), title=f"clpipe augment, {a.policy}, {a.size} px: {pairs:,.0f} pairs")
    figure.savefig(a.output)


if __name__ == "__main__":
    main()
