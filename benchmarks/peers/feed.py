"""Batches of pairs as a PyTorch training loop receives them, from shards on disk.

"clpipe" reads `clpipe augment`'s records from a pipe, as examples/pytorch_pipe.py
does: tensors over the records' own memory. "webdataset" is the usual loader,
torchvision's transforms on WebDataset's samples in a DataLoader. Both shuffle,
never end, and hand over uint8. What lay ready when a turn began is taken first
and not counted.
"""
import argparse, glob, json, subprocess, sys, time, warnings
import torch

import augment, worker
from policies import POLICIES, TRAINING

READY = 16  # batches, more than either keeps
warnings.filterwarnings("ignore", "The given (buffer|NumPy array) is not writable")  # nobody writes to it


def records(source, columns):
    """The views of a stream of pairs, uint8 [n,h,w,3] or [n,g,g,p,p,3] of patches, and the labels."""
    import pyarrow as pa

    with pa.ipc.open_stream(source) as stream:
        for record in stream:
            views = [record.column(c).storage.flatten().to_numpy().reshape(len(record), *record.column(c).type.shape) for c in columns]
            yield views, record.column("label").to_numpy(zero_copy_only=False)


def from_clpipe(a):
    pa = worker.need("pyarrow")
    command = [a.binary, "augment", "--src", a.src, "--policy", a.policy, "--size", a.size, "--batch", a.batch, "--epochs", 0, "--workers", a.threads, "--quiet"]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE)

    def tensor(column):
        pixels = column.storage.flatten()
        flat = torch.frombuffer(memoryview(pixels.buffers()[1]), dtype=torch.uint8, count=len(pixels), offset=pixels.offset)
        return flat.view(len(column), *column.type.shape)

    def batches():
        for record in pa.ipc.open_stream(process.stdout):
            yield tensor(record["anchor"]), tensor(record["positive"])

    return batches(), {"pyarrow": pa.__version__}


def from_webdataset(a):
    wds = worker.need("webdataset")
    views = augment.Views({**TRAINING, **POLICIES}[a.policy], a.size, a.kind)
    shards = sorted(glob.glob(a.src))
    samples = wds.WebDataset(shards, resampled=True, shardshuffle=False, nodesplitter=None, empty_check=False).shuffle(1000)
    samples = samples.rename(jpg="jpg;jpeg").map(lambda sample: views(augment.decode(sample["jpg"], a.kind))).batched(a.batch, partial=False)
    loader = wds.WebLoader(samples, batch_size=None, num_workers=a.threads)
    return iter(loader), {"webdataset": wds.__version__}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--by", choices=["clpipe", "webdataset"], required=True)
    p.add_argument("--kind", choices=["pil", "tensor"], default="pil", help="of torchvision's images")
    p.add_argument("--binary")
    p.add_argument("--src", required=True)
    p.add_argument("--policy", choices=POLICIES, required=True)
    p.add_argument("--size", type=int, required=True)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--seconds", type=float, default=3, help="length of a run")
    a = p.parse_args()
    torch.set_num_threads(1)
    batches, versions = {"clpipe": from_clpipe, "webdataset": from_webdataset}[a.by](a)
    next(batches)
    print(json.dumps({"torch": torch.__version__, **versions}), flush=True)
    for line in sys.stdin:
        for _ in range(READY):
            next(batches)
        rates = []
        for _ in range(int(line)):
            start, pairs, took = time.perf_counter(), 0, 0.0
            while took < a.seconds:
                anchor, _ = next(batches)
                pairs += len(anchor)
                took = time.perf_counter() - start
            rates.append(pairs / took)
        print(json.dumps({"total": rates}), flush=True)


if __name__ == "__main__":
    main()
