// Package parquetshard reads Parquet files whose rows are samples: images as
// bytes, or in Hugging Face's form as records of bytes and path, with an integer
// label (see package table).
//
// Arrow's library decodes levels and values. Footer and pages are read here,
// since it allocates what a file tells it to: every length is checked against
// what there is, and a page's checksum, where there is one, against its bytes.
// Read are only the column chunks of image, path and label, page by page: of a
// file a reader holds one page of each, compressed and not. Flat columns in all
// encodings Arrow knows, uncompressed or with snappy, gzip, zstd or lz4 (raw).
//
// A row without bytes comes with a shard.Damage and reading goes on; damage to
// the file ends the shard.
package parquetshard
