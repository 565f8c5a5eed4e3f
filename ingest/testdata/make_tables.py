"""Writes the tables that tables_test.go reads: the same 12 images in every form.

    pip install pyarrow==26.0.1 numpy pillow==13.0.0
    python ingest/testdata/make_tables.py

Made with Python 3.11, pyarrow 26.0.1. The images are drawn by the rule below,
which the test repeats; they are stored as PNG.
"""
import io
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
from PIL import Image

here = pathlib.Path(__file__).parent / "tables"
here.mkdir(exist_ok=True)


def png(i):
    h, w = 3 + i % 4, 5
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    pixels = ((40 * i + 7 * y + 3 * x + 85 * c) % 256).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


files = [png(i) for i in range(12)]
paths = [f"class{i % 3}/{i:02}.png" for i in range(12)]
labels = pa.array([i % 3 if i != 4 else None for i in range(12)], pa.int64())
features = {"info": {"features": {
    "label": {"names": ["a", "b", "c"], "_type": "ClassLabel"},
    "picture": {"_type": "Image"}, "thumb": {"dtype": "binary", "_type": "Value"}}}}


def records(order=("bytes", "path"), missing=(), named=True, large=False):
    kinds = {"bytes": pa.large_binary() if large else pa.binary(), "path": pa.string()}
    rows = [{"bytes": None if i in missing else files[i], "path": paths[i] if named else None} for i in range(12)]
    return pa.array(rows, pa.struct([(name, kinds[name]) for name in order]))


def table(images, name="image", **extra):
    columns = {"label": labels, name: images, **extra}
    return pa.table(columns)


def write(name, t, **options):
    pq.write_table(t, here / name, **options)


hugging = table(records(), "picture", thumb=pa.array([b"x"] * 12)).replace_schema_metadata({"huggingface": json.dumps(features)})
write("huggingface.parquet", hugging, row_group_size=5, compression="snappy")
write("reversed.parquet", table(records(("path", "bytes"))), compression="zstd", data_page_version="2.0", use_dictionary=False, data_page_size=300)
write("plain.parquet", table(records()), compression="none", write_page_checksum=True, row_group_size=4)
write("gzip.parquet", table(records()), compression="gzip", data_page_version="2.0")
write("lz4.parquet", table(records()), compression="lz4")
write("delta.parquet", table(records()), use_dictionary=False, column_encoding={
    "image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "image.path": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"})
write("binary.parquet", pa.table({"image": files, "label": pa.array(labels, pa.int32())}))
write("missing.parquet", table(records(missing=(2, 7))))
write("brotli.parquet", table(records()), compression="brotli")
write("list.parquet", pa.table({"image": [[f, f] for f in files]}))

# Images that stand in the file as they are: in a dictionary of which there is room
# for some, twice, and in pages of a value or of several, beside rows without an image.
pages = {"compression": "none", "row_group_size": 7, "data_page_size": 1, "write_batch_size": 1}
write("dictionary.parquet", table(records()), dictionary_pagesize_limit=200, **pages)
write("twice.parquet", pa.concat_tables([table(records())] * 2), compression="none")
write("pages.parquet", table(records(missing=(2, 7))), use_dictionary=False, **pages)
write("pages2.parquet", table(records(missing=(2, 7))), data_page_version="2.0", compression="none",
      use_dictionary=False, data_page_size=200, write_batch_size=2)
for name, encoding in ("lengths", "DELTA_LENGTH_BYTE_ARRAY"), ("prefixes", "DELTA_BYTE_ARRAY"):
    write(name + ".parquet", table(records()), compression="none", use_dictionary=False, column_encoding={"image.bytes": encoding})

for name, new, t, options in [
    ("stream.arrows", ipc.new_stream, hugging, {}),
    ("file.arrow", ipc.new_file, table(records()), {}),
    ("lz4.arrow", ipc.new_file, table(records(large=True)), {"compression": "lz4"}),
    ("zstd.arrows", ipc.new_stream, table(records(("path", "bytes"))), {"compression": "zstd"}),
    ("missing.arrow", ipc.new_file, table(records(missing=(2, 7))), {}),
]:
    with new(here / name, t.schema, options=ipc.IpcWriteOptions(**options)) as w:
        w.write_table(t, max_chunksize=5)
