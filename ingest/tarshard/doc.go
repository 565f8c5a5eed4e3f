// Package tarshard reads shards in the WebDataset form: a tar archive, plain or
// packed by gzip or zstd (told apart by their first bytes, never by the name),
// whose members form samples by their names.
//
// A member's name up to the first dot of its last element is the key, the rest,
// in lower case, the field: a/000123.jpg and a/000123.cls are the fields jpg
// and cls of the sample a/000123. The members of a sample stand side by side.
// Read are the image, one of the fields jpg, jpeg, png and webp, and the label, the
// field cls: an integer in ASCII. Other fields are passed over. Members whose
// path has an element that begins with "._" or "__" are left out, and so are
// members without key or field.
//
// A sample that breaks these rules comes with a shard.Damage and reading goes
// on; damage to the archive ends the shard. An archive that is not packed and
// allows random access is read header by header: its samples come without
// their images, which a Fetcher reads.
package tarshard
