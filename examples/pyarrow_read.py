"""Reads images, each of its own size, as numpy arrays.

    clpipe ingest --src s3shards/ --compress zstd | python pyarrow_read.py
"""
import sys

import pyarrow as pa

reader = pa.ipc.open_stream(sys.stdin.buffer)
print(reader.schema.metadata[b"clpipe.schema"].decode())
count = total = 0
for batch in reader:
    images = batch["image"].storage
    data, shapes = images.field("data"), images.field("shape").to_pylist()
    for id, row, shape in zip(batch["id"], data, shapes):
        image = row.values.to_numpy().reshape(shape)  # uint8 [H,W,3], RGB
        count, total = count + 1, total + image.mean()
print(f"{count} images, mean {total / count:.1f}, the last {id}")
