"""Writes the streams that pyarrow_test.go reads, as another program would.

pyarrow 26.0.1, Python 3.11; no random numbers, so no seed. Run in this folder:

    python make.py

Row i of a stream has id "s/i", epoch 2, index 100+i, label i (none where
3 divides i), and in view v byte j of its image is (31*i + 7*v + j) % 256.
"""

import json

import pyarrow as pa

S = 4  # side of a view


def pixels(row, view, n):
    return bytes((31 * row + 7 * view + j) % 256 for j in range(n))


def columns(rows, string=pa.string()):
    return {
        "id": pa.array([f"s/{i}" for i in rows], string),
        "epoch": pa.array([2] * len(rows), pa.uint32()),
        "index": pa.array([100 + i for i in rows], pa.uint64()),
        "label": pa.array([i if i % 3 else None for i in rows], pa.int64()),
    }


def fixed(rows, view, shape, item=None):
    """Views as fixed_shape_tensor; item: the list's field, else pyarrow's own type."""
    n = 1
    for d in shape:
        n *= d
    data = pa.py_buffer(b"".join(pixels(i, view, n) for i in rows))
    values = pa.Array.from_buffers(pa.uint8(), n * len(rows), [None, data])
    if item is None:
        t = pa.fixed_shape_tensor(pa.uint8(), shape)
        return pa.ExtensionArray.from_storage(t, pa.FixedSizeListArray.from_arrays(values, n))
    return pa.FixedSizeListArray.from_arrays(values, type=pa.list_(item, n))


def shape_of(row):
    return 1 + row % 3, 2 + row % 4, 3


def variable(rows):
    """Images as the storage of variable_shape_tensor, which pyarrow has no class for."""
    data, shapes = [], []
    for i in rows:
        h, w, c = shape_of(i)
        data.append(list(pixels(i, 0, h * w * c)))
        shapes.append([h, w, c])
    return pa.StructArray.from_arrays(
        [pa.array(data, pa.list_(pa.uint8())), pa.array(shapes, pa.list_(pa.int32(), 3))], ["data", "shape"])


def extension(name, metadata):
    return {"ARROW:extension:name": name, "ARROW:extension:metadata": json.dumps(metadata)}


def batch(cols, extensions={}):
    """A record batch; extensions: field metadata by column."""
    fields = [pa.field(k, v.type, metadata=extensions.get(k)) for k, v in cols.items()]
    return pa.RecordBatch.from_arrays(list(cols.values()), schema=pa.schema(fields))


def write(name, kind, batches, **options):
    schema = batches[0].schema.with_metadata({"clpipe.schema": kind, "clpipe.seed": "9"})
    with pa.ipc.new_stream(name, schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
        for b in batches:
            w.write_batch(pa.RecordBatch.from_arrays(b.columns, schema=schema))


def pairs(rows, **kw):
    return batch(columns(rows, **kw) | {"anchor": fixed(rows, 0, [S, S, 3]), "positive": fixed(rows, 1, [S, S, 3])})


def images(rows):
    return batch(columns(rows) | {"image": variable(rows)},
                 {"image": extension("arrow.variable_shape_tensor", {"dim_names": ["H", "W", "C"]})})


def files(rows, string, binary):
    return batch(columns(rows, string) | {"image": pa.array([pixels(i, 0, 10 + i) for i in rows], binary)})


R = list(range(6))

write("pairs.arrows", "pairs/1", [pairs(R)])
write("pairs_batches.arrows", "pairs/1", [pairs(R[:0]), pairs(R[:2]), pairs(R[:0]), pairs(R[2:]), pairs(R[:0])])
write("pairs_none.arrows", "pairs/1", [pairs(R[:0])])
write("pairs_large_utf8.arrows", "pairs/1", [pairs(R, string=pa.large_string())])
write("pairs_sliced.arrows", "pairs/1", [pairs(list(range(-3, 9))).slice(3, 6)])
write("pairs_lz4.arrows", "pairs/1", [pairs(R)], compression="lz4")
write("pairs_zstd.arrows", "pairs/1", [pairs(R)], compression="zstd")
write("pairs_bare.arrows", "pairs/1", [batch({"anchor": fixed(R, 0, [S, S, 3]), "positive": fixed(R, 1, [S, S, 3])})])

item = pa.field("item", pa.uint8(), nullable=False)
ext = extension("arrow.fixed_shape_tensor", {"shape": [S, S, 3]})
write("pairs_nonnull.arrows", "pairs/1", [batch(
    columns(R) | {"anchor": fixed(R, 0, [S, S, 3], item), "positive": fixed(R, 1, [S, S, 3], item)},
    {"anchor": ext, "positive": ext})])

write("patches.arrows", "pairs/1", [batch(columns(R) | {"anchor": fixed(R, 0, [2, 2, 3, 3, 3])})])

write("pairs_extra.arrows", "pairs/1", [batch({
    "words": pa.array([["a", None], [], None, ["b"], ["c", "d"], []], pa.list_(pa.string())),
    "when": pa.array(R, pa.timestamp("us", "Europe/Brussels")),
    "good": pa.array([True, None, False, True, True, None]),
    "none": pa.nulls(6),
    "both": pa.array([{"a": i, "b": str(i)} for i in R]),
    "real": pa.array([float(i) for i in R], pa.float16()),
    "hash": pa.array([bytes([i] * 5) for i in R], pa.binary(5)),
    "long": pa.array([[i] for i in R], pa.large_list(pa.int8())),
} | columns(R) | {"anchor": fixed(R, 0, [S, S, 3]), "positive": fixed(R, 1, [S, S, 3])})])

write("images.arrows", "images/1", [images(R[:4]), images(R[4:])])
# Read back, the column has pyarrow's own type, with pyarrow's own metadata.
back = pa.ipc.open_stream("images.arrows").read_all()
assert isinstance(back.schema.field("image").type, pa.BaseExtensionType)
write("images_native.arrows", "images/1", back.to_batches())
write("images_sliced.arrows", "images/1", [images(list(range(-3, 9))).slice(3, 6)])
write("images_zstd.arrows", "images/1", [images(R)], compression="zstd")
write("encoded.arrows", "encoded/1", [files(R, pa.string(), pa.binary())])
write("encoded_large.arrows", "encoded/1", [files(R, pa.large_string(), pa.large_binary()).slice(0, 6)])
write("encoded_lz4.arrows", "encoded/1", [files(R, pa.string(), pa.binary())], compression="lz4")

# What has to be refused, in words.
one = columns(R)
one["label"] = one["label"].dictionary_encode()
write("bad_dictionary.arrows", "pairs/1", [batch(one | {"anchor": fixed(R, 0, [S, S, 3])})])
write("bad_view.arrows", "pairs/1", [batch(columns(R, pa.string_view()) | {"anchor": fixed(R, 0, [S, S, 3])})])
write("bad_permutation.arrows", "pairs/1", [batch(
    columns(R) | {"anchor": fixed(R, 0, [S, S, 3], item)},
    {"anchor": extension("arrow.fixed_shape_tensor", {"shape": [S, S, 3], "permutation": [2, 0, 1]})})])
write("bad_shape.arrows", "pairs/1", [batch(
    columns(R) | {"anchor": fixed(R, 0, [S, S, 3], item)},
    {"anchor": extension("arrow.fixed_shape_tensor", {"shape": [S, S, 4]})})])
write("bad_float.arrows", "pairs/1", [batch(columns(R) | {"anchor": pa.ExtensionArray.from_storage(
    pa.fixed_shape_tensor(pa.float32(), [1, 1, 3]), pa.array([[1, 2, 3]] * 6, pa.list_(pa.float32(), 3)))})])
write("bad_null.arrows", "pairs/1", [batch(columns(R) | {"anchor": pa.ExtensionArray.from_storage(
    pa.fixed_shape_tensor(pa.uint8(), [1, 1, 3]), pa.array([[1, 2, 3], None] * 3, pa.list_(pa.uint8(), 3)))})])
write("bad_label.arrows", "pairs/1", [batch(
    columns(R) | {"label": pa.array(R, pa.int32()), "anchor": fixed(R, 0, [S, S, 3])})])
write("bad_plain.arrows", "pairs/1", [batch(columns(R) | {"anchor": fixed(R, 0, [S, S, 3]).storage})])
with pa.ipc.new_file("bad_file.arrow", pairs(R).schema) as w:
    w.write_batch(pairs(R))
