// Package batch is what all stages of clpipe have in common: the schemas of the
// records that travel between them, the streams they travel on, and the state a
// run needs to go on where it stopped.
//
// A stage turns one stream of Arrow records into another:
//
//	type Stage func(ctx context.Context, in Reader, out Writer) error
//
// Run joins stages inside one process, with bounded channels that pass records
// by reference. IPCReader and IPCWriter put a process boundary at the same
// place: the stage does not notice. The records are
//
//	images/1      id epoch index label image      decoded, any size
//	encoded/1     id epoch index label image      the file's own bytes
//	pairs/1       id epoch index label anchor positive, local where views are cut small too
//	embeddings/1  id label embedding
//
// Images are uint8, rows of RGB pixels. They carry the canonical extension
// types arrow.variable_shape_tensor and arrow.fixed_shape_tensor, which Arrow
// v15 does not have and this package registers.
//
// # Copies
//
// Between stages of one process nothing is copied. Between two, a byte of an
// image is copied twice, by the system into the pipe and out of it: the writer
// writes columns from where they lie, and the reader reads a record's body to
// where its columns then lie, but for the first 8 KiB, which come together with
// the metadata and are copied once more. Compressed records are copied as they
// are packed and unpacked. Writing and reading a record of pairs takes about a
// hundred small allocations, whatever its size.
//
// # Ownership
//
// The caller of a function that returns a record owns one reference and
// releases it. Writing a record hands its reference over: the writer of a
// record does not touch it again. Slices and tensors viewed from a record's
// columns live no longer than the record; neither do the ids' strings.
package batch
