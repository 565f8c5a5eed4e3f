"""Asks an embeddings file for the nearest neighbours of its first image.

    clpipe embed --run runs/first --src s3shards/ -o embeddings.parquet
    python duckdb_embeddings.py embeddings.parquet
"""
import sys

import duckdb

neighbours = duckdb.sql(f"""
    WITH rows AS (SELECT id, label, embedding FROM read_parquet('{sys.argv[1]}')),
         query AS (SELECT * FROM rows ORDER BY id LIMIT 1)
    SELECT rows.id, rows.label, list_cosine_similarity(rows.embedding, query.embedding) AS similarity
    FROM rows, query ORDER BY similarity DESC LIMIT 5
""").fetchall()
for id, label, similarity in neighbours:
    print(f"{similarity:.3f}  {label}  {id}")
