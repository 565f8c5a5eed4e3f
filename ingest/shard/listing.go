package shard

import "fmt"

// MaxObjects bounds what a source may name. The largest public image sets have
// some 200,000 shards.
const MaxObjects = 1 << 20

// Listing is what a source names.
type Listing struct {
	// Dir is true if the source is a directory or a prefix: Objects are then all
	// files in it and below, whatever they hold. Otherwise each was named or
	// matched.
	Dir     bool
	Objects []Object
}

// PatternError says that a source names nothing: a mistake of whoever wrote it.
type PatternError struct {
	Source string // without credentials and query
	Msg    string
}

// Error names the source and what is wrong with it.
func (e *PatternError) Error() string { return fmt.Sprintf("source %.200q: %s", e.Source, e.Msg) }
