//go:build assert

package batch

// poison overwrites the memory of released records, so that whoever still looks
// at one is found by tests.
const poison = true
