// Package ingest is the source of the pipeline: it reads shards and emits their
// samples as records of images/1 or encoded/1, in an order that the seed
// decides.
//
//	src, err := ingest.Open(ctx, ingest.Config{Sources: []string{"s3shards/"}, Shuffle: true, Seed: 1})
//	if err != nil { ... }
//	err = batch.Run(ctx, 4, nil, out, src.Stage(), augment)
//
// # Sources
//
// Shards lie in files (package local), in buckets of S3 (package s3), behind
// HTTP (package httpfile) or come in on standard input (package stdin). Remote
// ones are read in sequence; a connection that is cut goes on where it was
// (package remote). The same shards give the same ids in the same order from
// disk, S3 and HTTP.
//
// # Order
//
// An epoch's order is a function of the Config and the epoch alone; workers
// and timing have no part in it. The shards, sorted bytewise by name, are
// permuted; Interleave of them are open at a time and give a sample each in
// turn, the next shard taking the place of one that ends; the samples pass
// through a buffer of ShuffleBuffer samples or ShuffleBytes bytes of images,
// whichever is reached first, from which one is drawn whenever it is full, and
// all at the end of the epoch. Without Shuffle the shards are read one after
// the other as sorted. Of several ranks, rank r takes every World-th of the
// permuted shards: a division that is disjoint and repeats for the same World,
// in which each rank numbers its own samples.
//
// With an index (package index) the order is a permutation of all samples, which
// takes no memory: each place is computed by itself, so that resuming reads
// nothing of what came before. Images are read ahead of their turn by ranges,
// those that lie close together at once, and checked against their checksums. Of
// several ranks, rank r takes the places r, r+World and so on: all ranks together
// read the order of one process, whatever their number, and the index of a sample
// is its place in that. Archives that are packed, and tables but for those whose
// images stand as they are or in fragments of Snappy's, have no ranges: if one is
// among the shards, the index tells lengths only.
//
// Ranks have equally many samples in an epoch, unless KeepTail: what is over at
// its end is left out. Without an index this needs shards that can be counted
// beforehand, as local archives and Parquet files can. A rank's rejected samples
// are its own: they are not made up for.
//
// A sample takes its index as it leaves the buffer, whether it can be read or
// not; rejected samples, malformed ones among them, leave a gap. So does the
// point at which a shard is given up, which passes through the buffer like a
// sample. Resuming at a position goes through the same order without reading
// images where the shards allow it: of archives that are not packed the buffer
// holds addresses, of others bytes.
//
// # Ids
//
// The id of a sample is the name of its shard below the source's root, a slash,
// and its key; of an image in a folder its path below the root. The root is the
// directory, or for a file or pattern its folder up to the first wildcard.
package ingest
