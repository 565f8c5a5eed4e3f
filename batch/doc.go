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
//	pairs/1       id epoch index label anchor positive
//	embeddings/1  id label embedding
//
// Images are uint8, rows of RGB pixels. They carry the canonical extension
// types arrow.variable_shape_tensor and arrow.fixed_shape_tensor, which Arrow
// v15 does not have and this package registers.
//
// # Ownership
//
// The caller of a function that returns a record owns one reference and
// releases it. Writing a record hands its reference over: the writer of a
// record does not touch it again. Slices and tensors viewed from a record's
// columns live no longer than the record.
package batch
