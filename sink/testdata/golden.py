"""Writes python.safetensors and checks that clpipe.safetensors reads back.

Run from this directory: python golden.py
Made with Python 3.11.7, torch 2.15.0+cu132, safetensors 0.8.0; no randomness.
clpipe.safetensors is from `go test ./sink -run BytesThatPython -update`.
"""

import math
import os

import torch
from safetensors.torch import load_file, save_file

EVERY_TYPE = {
    "conv1.weight": torch.tensor([0, 0.5, -1.25, 3e38, 1e-45, 6], dtype=torch.float32).reshape(1, 2, 3, 1),
    "double": torch.tensor([math.pi, -1e300], dtype=torch.float64),
    "int": torch.tensor([[-(2**31)], [7]], dtype=torch.int32),
    "bn1.num_batches_tracked": torch.tensor(123456789012, dtype=torch.int64),
    "bytes": torch.tensor([0, 127, 255], dtype=torch.uint8),
    "uint": torch.tensor([2**32 - 1], dtype=torch.uint32),
    "ids": torch.tensor([2**64 - 1, 1], dtype=torch.uint64),
}
HALVES = {
    "half": torch.tensor([[0, -0.0, 1, -2], [2**-24, 2**-14, 65504, math.inf]], dtype=torch.float16),
    "brain": torch.tensor([1, -0.15625, 2**-133, -math.inf], dtype=torch.bfloat16),
}

save_file(EVERY_TYPE | HALVES, "python.safetensors", metadata={"format": "pt"})

if os.path.exists("clpipe.safetensors"):
    ours = load_file("clpipe.safetensors")
    assert ours.keys() == EVERY_TYPE.keys(), ours.keys()
    for name, want in EVERY_TYPE.items():
        got = ours[name]
        assert got.dtype == want.dtype and got.shape == want.shape, (name, got, want)
        assert got.numpy().tobytes() == want.numpy().tobytes(), (name, got, want)
    print("clpipe.safetensors: every tensor as it should be")
