"""Summarises an embeddings file by label.

    clpipe embed --run runs/first --src s3shards/ -o embeddings.parquet
    python polars_embeddings.py embeddings.parquet
"""
import sys

import polars as pl

rows = pl.scan_parquet(sys.argv[1]).with_columns(norm=pl.col("embedding").cast(pl.List(pl.Float32)).list.eval(pl.element() ** 2).list.sum().sqrt())
print(rows.group_by("label").agg(pl.len().alias("images"), pl.col("norm").mean()).sort("label").collect().write_csv(), end="")
