// Package index is the file that says where every sample of a set of shards
// lies, so that they can be read in any order without looking for them.
//
// It is an Arrow IPC file (Feather V2, zstd), which any Arrow reader opens. Its
// schema carries clpipe.schema = index/2; a row is a shard:
//
//	shard    utf8     path below the source's root, with slashes
//	format   utf8     "tar", "tar.gz", "tar.zst", "parquet", "arrow"
//	bytes    int64    as stored
//	sha256   utf8     of the stored bytes, in hex
//	address  utf8?    where a remote shard was read, without credentials and query
//	etag     utf8?    the version that was read there
//	samples  list<struct>, in the order of the shard:
//	  key     utf8
//	  offset  int64    byte of the unpacked shard, of a table row, at which it begins
//	  at      int64?   byte of the stored shard at which the image file begins;
//	                   null where it cannot be read by itself: packed archives,
//	                   compressed tables
//	  size    int64?   bytes of the image file
//	  crc32c  uint32?  of the image file (Castagnoli)
//	  width   uint32?  pixels; null where the header cannot be read
//	  height  uint32?
//	  format  utf8?    "jpeg", "png", "webp"
//	  label   int64?
//	  damage  utf8?    "what: why" it cannot be used; it has neither size nor checksum
//	  packed  uint32?  bytes of the stored shard, from at on, that the image file is
//	                   part of once Snappy has unpacked them (see package fragment);
//	                   null where it stands there as it is
//	  lead    uint32?  bytes of what they unpack to that come before it
//
// Rows are sorted bytewise by shard. Version 1 had no places of images in tables,
// which were read in sequence, and still are by such an index; a reader refuses
// versions that it does not know. No length in it is believed: see batch.IPCReader.
package index
