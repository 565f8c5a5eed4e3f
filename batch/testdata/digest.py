"""Prints the digest of state_test.go's fixedState, computed from the definition
in batch.State.Digest. Python 3.11, standard library only; no random numbers.

    python testdata/digest.py
"""

import hashlib
import math
import struct

tensors = {
    "b.weight": ("float32", (2, 3), struct.pack("<6f", 0, 1, -1, 0.5, math.inf, 1e-45)),
    "a.weight": ("float64", (2,), struct.pack("<2d", math.pi, 0.0)),
    "bn.batches": ("int64", (), struct.pack("<q", -7)),
    "queue.ids": ("uint64", (2,), struct.pack("<2Q", 1, 2**64 - 1)),
    "queue.epochs": ("uint32", (2, 1, 2), struct.pack("<4I", 3, 4, 5, 6)),
    "pixels": ("uint8", (3,), bytes([1, 2, 255])),
    "steps": ("int32", (1,), struct.pack("<i", -(2**31))),
}

h = hashlib.sha256()
for name, (dtype, shape, data) in sorted(tensors.items()):
    for word in (name, dtype):
        h.update(struct.pack("<Q", len(word)) + word.encode())
    h.update(struct.pack("<Q", len(shape)))
    for d in shape:
        h.update(struct.pack("<Q", d))
    h.update(data)
print(h.hexdigest())
