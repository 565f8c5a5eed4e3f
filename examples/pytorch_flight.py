"""Trains on pairs from Arrow Flight, as one of WORLD ranks that share the stream.

    clpipe serve --src s3shards/ --policy simclr
    python pytorch_flight.py grpc://127.0.0.1:8815 0 2 & python pytorch_flight.py grpc://127.0.0.1:8815 1 2
"""
import json
import os
import sys
import warnings

import pyarrow.flight
import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore", "The given buffer is not writable")  # nobody writes to it


def views(column):
    """uint8 [N,S,S,3] of a column of fixed-shape tensors, without a copy."""
    pixels = column.storage.flatten()
    flat = torch.frombuffer(memoryview(pixels.buffers()[1]), dtype=torch.uint8, count=len(pixels), offset=pixels.offset)
    return flat.view(len(column), *column.type.shape)


if len(sys.argv) != 4:
    sys.exit(f"usage: {sys.argv[0]} ADDRESS RANK WORLD\n{__doc__}")
address, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
token = os.environ.get("CLPIPE_FLIGHT_TOKEN")
options = pyarrow.flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())] if token else [])
ticket = {"stream": "pairs", "epochs": 2, "rank": rank, "world": world}
stream = pyarrow.flight.connect(address).do_get(pyarrow.flight.Ticket(json.dumps(ticket)), options)

model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(128))
optimizer = None
pairs = 0
for chunk in stream:
    q, k = (F.normalize(model(views(chunk.data[name]).float() / 255)) for name in ("anchor", "positive"))
    loss = F.cross_entropy(q @ k.T / 0.1, torch.arange(len(q)))
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pairs += len(q)
print(f"{pairs} pairs, loss {loss.item():.3f}")
