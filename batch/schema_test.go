package batch_test

import (
	"slices"
	"strings"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
)

// TestExpectSaysWhatToDo wants the kind that arrived, the one needed, and the
// command that makes it.
func TestExpectSaysWhatToDo(t *testing.T) {
	of := func(kind string) *arrow.Schema {
		m := arrow.NewMetadata([]string{batch.KeySchema}, []string{kind})
		return arrow.NewSchema(nil, &m)
	}
	if kind, err := batch.Expect(batch.EncodedSchema(nil), batch.ImagesKind, batch.EncodedKind); err != nil || kind != batch.EncodedKind {
		t.Errorf("got %q, %v", kind, err)
	}
	for _, c := range []struct {
		schema *arrow.Schema
		want   string
	}{
		{batch.ImagesSchema(nil), "batch: schema: the stream is \"images/1\": want pairs/1, which `clpipe augment` writes"},
		{of("pairs/2"), "batch: schema: the stream is \"pairs/2\", a version this clpipe does not know: want pairs/1, which `clpipe augment` writes"},
		{arrow.NewSchema(nil, nil), "batch: schema: the stream does not say what it holds (no clpipe.schema in its metadata): want pairs/1, which `clpipe augment` writes"},
	} {
		if _, err := batch.Expect(c.schema, batch.PairsKind); err == nil || err.Error() != c.want {
			t.Errorf("got error  %v\nwant error %s", err, c.want)
		}
	}
	if _, err := batch.Expect(of(strings.Repeat("x", 1000)), batch.ImagesKind, batch.EncodedKind); err == nil || len(err.Error()) > 300 ||
		!strings.Contains(err.Error(), "want images/1 or encoded/1, which `clpipe ingest` or `clpipe ingest --encoded` writes") {
		t.Errorf("a long kind: got error %v", err)
	}
}

// TestMetadataIsOrdered: the same stream is the same bytes.
func TestMetadataIsOrdered(t *testing.T) {
	m := batch.Metadata{batch.KeySource: "s", batch.KeySeed: "1", batch.KeyPolicy: "p", batch.KeyClasses: ""}
	s := batch.PairsSchema(m, 2, 4, 4, 3)
	if got, want := strings.Join(s.Metadata().Keys(), " "), "clpipe.policy clpipe.schema clpipe.seed clpipe.source"; got != want {
		t.Errorf("keys %s, want %s: sorted, without those that say nothing", got, want)
	}
	if got := batch.MetadataOf(s); len(got) != 3 || got[batch.KeySource] != "s" {
		t.Errorf("metadata %v, want three of %v", got, m)
	}
}

// TestSchemasSayWhatIsComing: shape and seed are known before the first record.
func TestSchemasSayWhatIsComing(t *testing.T) {
	for _, c := range []struct{ shape, want []int }{
		{[]int{32, 32, 3}, []int{32, 32, 3}}, {[]int{7, 7, 8, 8, 3}, []int{7, 7, 8, 8, 3}},
		{[]int{32, 16, 3}, nil}, {[]int{32, 32, 1}, nil}, {[]int{12}, nil}, {[]int{7, 7, 8, 3}, nil},
	} {
		if got := batch.ViewShape(batch.PairsSchema(nil, 1, c.shape...)); !slices.Equal(got, c.want) {
			t.Errorf("views of a column of %v are %v, want %v", c.shape, got, c.want)
		}
	}
	if got := batch.ViewShape(batch.EmbeddingsSchema(nil, 8)); got != nil {
		t.Errorf("embeddings have views of %v, want none", got)
	}
	for seed, want := range map[string]bool{"": false, "x": false, "-1": false, "18446744073709551616": false, "7": true, "18446744073709551615": true} {
		if _, ok := batch.SeedOf(batch.ImagesSchema(batch.Metadata{batch.KeySeed: seed})); ok != want {
			t.Errorf("the seed %q is taken: %v, want %v", seed, ok, want)
		}
	}
}
