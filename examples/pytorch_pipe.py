"""Trains on pairs from a pipe. The tensors are the records' own memory: nothing is copied.

    clpipe augment --src s3shards/ --epochs 10 | python pytorch_pipe.py
"""
import sys
import warnings

import pyarrow as pa
import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore", "The given buffer is not writable")  # nobody writes to it


def views(column):
    """uint8 [N,S,S,3] of a column of fixed-shape tensors."""
    pixels = column.storage.flatten()
    flat = torch.frombuffer(memoryview(pixels.buffers()[1]), dtype=torch.uint8, count=len(pixels), offset=pixels.offset)
    return flat.view(len(column), *column.type.shape)


model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(128))
optimizer = None
pairs = 0
for batch in pa.ipc.open_stream(sys.stdin.buffer):
    q, k = (F.normalize(model(views(batch[name]).float() / 255)) for name in ("anchor", "positive"))
    loss = F.cross_entropy(q @ k.T / 0.1, torch.arange(len(q)))
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pairs += len(q)
print(f"{pairs} pairs, loss {loss.item():.3f}")
