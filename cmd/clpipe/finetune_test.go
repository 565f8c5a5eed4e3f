package main

import (
	"strings"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestFineTuningRefusesLabelsThatAreNoClass reads a label for which no classifier
// would fit in memory, and one below all classes.
func TestFineTuningRefusesLabelsThatAreNoClass(t *testing.T) {
	for _, label := range []int64{1_000_000_000_000, -1} {
		b := batch.NewEncodedBuilder(memory.DefaultAllocator, batch.EncodedSchema(nil))
		b.Append(batch.Row{ID: "a", Label: 2, HasLabel: true}, []byte("file"))
		b.Append(batch.Row{ID: "b"}, []byte("no label"))
		b.Append(batch.Row{ID: "c", Label: label, HasLabel: true}, []byte("file"))
		rec := b.NewRecord()
		encoded, err := batch.NewEncoded(rec)
		if err != nil {
			t.Fatal(err)
		}
		var files labelledFiles
		err = files.add(encoded, func(int) bool { return true })
		if err == nil || !strings.Contains(err.Error(), "is no class") {
			t.Errorf("label %d: got %v, want an error", label, err)
		}
		if len(files.labels) != 1 || files.labels[0] != 2 {
			t.Errorf("label %d: got %v before it, want [2]", label, files.labels)
		}
		rec.Release()
		b.Release()
	}
}
