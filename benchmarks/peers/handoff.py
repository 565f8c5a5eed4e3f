"""Batches of pairs from a worker process of a PyTorch DataLoader to the training process.

The batches are made beforehand, so that nothing but the handoff is measured.
The worker returns NumPy arrays, which the DataLoader copies into new shared
memory as it does for every batch that has just been made; or with --shared
tensors that lie in shared memory already, of which a handle is passed. The
consumer touches every page: shared memory is mapped in by who first reads it.
"""
import argparse
import numpy as np
import torch

import worker

BATCHES, RUN, PAGE = 4, 128 << 20, 4096


class Ready(torch.utils.data.IterableDataset):
    """Batches without end, always of new memory unless shared."""

    def __init__(self, size, rows, shared):
        self.pairs = np.random.default_rng(0).integers(0, 256, (BATCHES, 2, rows, size, size, 3), dtype=np.uint8)
        self.tensors = [[torch.from_numpy(v).share_memory_() for v in p] for p in self.pairs] if shared else None

    def __iter__(self):
        at = 0
        while True:
            yield list(self.pairs[at]) if self.tensors is None else self.tensors[at]
            at = (at + 1) % BATCHES


class Case:
    def __init__(self, size, rows, shared):
        self.count = max(RUN // (rows * 2 * 3 * size * size), 1)
        self.batches = iter(torch.utils.data.DataLoader(Ready(size, rows, shared), batch_size=None, num_workers=1))

    def run(self):
        for _ in range(self.count):
            for view in next(self.batches):
                view.reshape(-1)[::PAGE].sum()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--shared", action="store_true", help="batches that lie in shared memory already")
    a = p.parse_args()
    torch.set_num_threads(1)
    cases = []
    for size, rows in ((32, 256), (224, 64)):
        c = Case(size, rows, a.shared)
        cases.append((f"{size} px, {rows} pairs a record", c.count * rows, c.run))
    worker.serve(cases, torch=torch.__version__)


if __name__ == "__main__":
    main()
