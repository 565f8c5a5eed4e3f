package ingest

import (
	"clpipe/ingest/cache"
	"clpipe/ingest/fragment"
	"clpipe/ingest/parquetshard"
	"clpipe/ingest/shard"
)

// HeldBytes is what reading holds of the images for the sake of their order, and
// of the index, at most.
func (s *Source) HeldBytes() int64 {
	switch {
	case s.Permuted():
		return s.cfg.AheadBytes + s.index.held
	case s.index != nil:
		return s.shuffledBytes() + s.index.held
	}
	return s.shuffledBytes()
}

// shuffledBytes is what the shuffle buffer holds at most. Without shuffling it is
// the image that is handed on.
func (s *Source) shuffledBytes() int64 {
	if !s.cfg.Shuffle {
		return 0
	}
	return s.cfg.ShuffleBytes
}

// ReadingBytes is what reading holds beside that, at most: of the shards, ahead of
// their turn, and of the images and records in work. It holds where no image is
// larger than Config.RecordBytes. What the decoders of packed archives and of tables
// keep to themselves, as a window or a page, is not in it.
func (s *Source) ReadingBytes() int64 {
	c := &s.cfg
	workers := int64(c.Workers)
	// Of a job each worker fills a record and has one wait; as many of those that
	// were written wait to be filled again as a builder keeps.
	const kept = 2
	jobs := workers + 2 // those dealt, one being written, one being gathered
	total := (jobs + workers + kept*workers) * c.RecordBytes
	if !c.Encoded {
		total += workers * c.RecordBytes // an image each, decoded
	}
	if s.Permuted() {
		total += shard.BlockBytes(c.AheadBytes) - c.AheadBytes + remoteReads*passBytes
		if s.index.packed {
			total += workers * (c.RecordBytes + fragment.Size) // an image each, unpacked
		}
		if c.CacheDir != "" {
			total += remoteReads * cache.MinBytes
		}
		return total
	}
	open, tables := int64(0), int64(0) // shards that are read by a goroutine, and remote tables among them
	for _, m := range s.shards {
		if !readEarly(m) {
			continue
		}
		open++
		if _, local := m.obj.(shard.RandomAccess); !local && m.Format() == "parquet" {
			tables++
		}
	}
	if open == 0 {
		return total // images are fetched when their record is filled
	}
	open = min(open, int64(c.Interleave)+1)
	// A stretch of each shard is filled, one waits and one is handed out.
	images := 3*open*(stretchBytes+c.RecordBytes/stretchSamples) + jobs*c.RecordBytes
	total += shard.BlockBytes(s.shuffledBytes()+images) - s.shuffledBytes()
	total += open*readerBytes + min(tables, open)*parquetshard.AheadBytes
	if c.CacheDir != "" {
		total += open * cache.MinBytes
	}
	return total
}

// readerBytes are the buffers of a shard that is read in sequence: of the archive,
// and of the connection.
const readerBytes = 1 << 20
