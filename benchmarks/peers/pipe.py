"""Records of pairs by pyarrow from this process to a second one, through one pipe.

What clpipe's bench stream does: the same columns, noise for pixels, the same
size of pipe, an answer from the reader after every so many records. Python's
files are at either end: Arrow's own seek, which a pipe cannot.
"""
import argparse, fcntl, os, subprocess, sys
import numpy as np
import pyarrow as pa

import worker

RECORDS, RUN, PIPE = 4, 128 << 20, 1 << 20  # as in clpipe's bench_stream.go and pipebuffer_linux.go


def noise(size, rows, seed):
    view = pa.fixed_shape_tensor(pa.uint8(), [size, size, 3], dim_names=["H", "W", "C"])
    pixels = np.random.default_rng(seed).integers(0, 256, (2, rows * size * size * 3), dtype=np.uint8)
    views = [pa.ExtensionArray.from_storage(view, pa.FixedSizeListArray.from_arrays(pa.array(p), size * size * 3)) for p in pixels]
    columns = dict(id=pa.array([f"noise/{i:06d}" for i in range(rows)]), epoch=pa.array([0] * rows, pa.uint32()),
                   index=pa.array(range(rows), pa.uint64()), label=pa.array([None] * rows, pa.int64()), anchor=views[0], positive=views[1])
    return pa.record_batch(list(columns.values()), names=list(columns))


def read(source, acknowledge):
    with pa.ipc.open_stream(source) as stream:
        for n, record in enumerate(stream, 1):
            for column in ("anchor", "positive"):
                record.column(column).storage.flatten().to_numpy()
            if n % acknowledge == 0:
                os.write(1, b".")


class Case:
    """A pipe with a reader at its other end."""

    def __init__(self, size, rows):
        self.count = max(RUN // (rows * 2 * 3 * size * size), 1)
        self.records = [noise(size, rows, seed) for seed in range(RECORDS)]
        self.next = 0
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE)
        command = [sys.executable, __file__, "--acknowledge", str(self.count)]
        self.reader = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE, bufsize=0)
        os.close(reading)
        self.stream = pa.ipc.new_stream(os.fdopen(writing, "wb", buffering=0), self.records[0].schema)

    def run(self):
        for _ in range(self.count):
            self.stream.write_batch(self.records[self.next % RECORDS])
            self.next += 1
        if self.reader.stdout.read(1) != b".":
            raise RuntimeError("the reader has left")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--acknowledge", type=int, help="be the reader: answer after as many records")
    a = p.parse_args()
    if a.acknowledge:
        read(sys.stdin.buffer, a.acknowledge)
        return
    cases = []
    for size, rows in ((32, 256), (224, 64)):
        c = Case(size, rows)
        cases.append((f"{size} px, {rows} pairs a record", c.count * rows, c.run))
    worker.serve(cases, pyarrow=pa.__version__)


if __name__ == "__main__":
    main()
