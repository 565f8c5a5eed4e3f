// Package cache keeps blocks of remote files in a folder of this machine, so that
// an epoch after the first, or the next run, reads them from there.
//
//	DIR/CACHEDIR.TAG          says whose the folder is; backups leave it out
//	DIR/clpipe-usage          bytes of all blocks, decimal; locked while it changes
//	DIR/3f/3f…9c-000012.block block 12 of a file: see block
//	DIR/3f/x.tmp-4195344-17   a block of so many bytes being written
//
// A file is known by its address, its version (the ETag) and its length: one that
// has changed has other blocks, and the old ones go in their time. Files without
// a version or of unknown length are not kept. What is longest unused goes first
// when a new block would pass the limit. Several processes may share a folder.
//
// Only files of these names are ever removed, and a folder that holds anything
// else is refused. Blocks carry checksums: a damaged one is removed and fetched
// anew. A full disk ends the keeping, not the run.
package cache
