package batch

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Embeddings views a record of embeddings/1.
type Embeddings struct {
	Samples
	Dim    int
	values []float32 // [rows, Dim]
}

// NewEmbeddings views rec, which the caller keeps holding while the view is used.
func NewEmbeddings(rec arrow.Record) (*Embeddings, error) {
	s, err := newSamples(rec)
	if err != nil {
		return nil, err
	}
	const want = "fixed_size_list<float32>"
	list, ok := column(rec, "embedding").(*array.FixedSizeList)
	if !ok {
		return nil, wrongType("embedding", column(rec, "embedding"), want)
	}
	values, ok := list.ListValues().(*array.Float32)
	if !ok {
		return nil, wrongType("embedding", list, want)
	}
	if err := checkNoNulls("embedding", list, values); err != nil {
		return nil, err
	}
	dim := int(list.DataType().(*arrow.FixedSizeListType).Len())
	from, to := list.Offset()*dim, (list.Offset()+list.Len())*dim
	if to > values.Len() {
		return nil, fmt.Errorf("batch: record: column %q holds %d numbers, want %d", "embedding", values.Len(), to)
	}
	return &Embeddings{Samples: s, Dim: dim, values: values.Float32Values()[from:to]}, nil
}

// Embedding returns the row's numbers, [Dim].
func (e *Embeddings) Embedding(i int) []float32 { return e.values[i*e.Dim : (i+1)*e.Dim] }
