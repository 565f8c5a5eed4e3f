"""Writes the block that fragment_test.go unpacks, as pyarrow's Snappy, which is
Google's, compresses it.

    pip install pyarrow==26.0.1
    python ingest/fragment/testdata/make_block.py

The bytes are those of the rule below, which the test repeats: numbers of a linear
congruential generator, each 25 times, with runs of noise between them.
"""
import pathlib

import pyarrow as pa

out, state = bytearray(), 1
while len(out) < 200_000:
    state = (1103515245 * state + 12345) % 2**31
    out += state.to_bytes(4, "little") * (1 if state >> 16 & 7 == 0 else 25)
packed = pa.compress(bytes(out[:200_000]), codec="snappy", asbytes=True)
(pathlib.Path(__file__).parent / "block.snappy").write_bytes(packed)
