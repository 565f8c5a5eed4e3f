package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Features are labelled vectors: N rows of D floats.
type Features struct {
	Data   []float32 // [N,D]
	Labels []int     // [N], any numbers from 0 on
	D      int
}

// N returns the number of rows.
func (f *Features) N() int { return len(f.Labels) }

// indexed returns both sets with their classes numbered from 0 on in the order of
// the labels, and how many there are: what a probe holds for a class, it holds for
// those that occur, not for every number up to the highest label.
func indexed(train, test *Features) (a, b *Features, classes int) {
	all := slices.Concat(train.Labels, test.Labels)
	slices.Sort(all)
	all = slices.Compact(all)
	number := func(f *Features) *Features {
		out := &Features{Data: f.Data, Labels: make([]int, f.N()), D: f.D}
		for i, label := range f.Labels {
			out.Labels[i], _ = slices.BinarySearch(all, label)
		}
		return out
	}
	return number(train), number(test), len(all)
}

// maxClasses bounds labels: beyond it they are not classes but something else.
const maxClasses = 1 << 20

// ErrNoLabel says that there is nothing to learn classes from.
var ErrNoLabel = errors.New("probe: no sample has a label: give shards with .cls fields or a folder of class folders")

// CheckLabel returns an error for a label that is no class.
func CheckLabel(label int64) error {
	if label < 0 || label >= maxClasses {
		return fmt.Errorf("probe: label %d of a row is no class, want one in [0,%d)", label, maxClasses)
	}
	return nil
}

// Collect returns the sink of a stream of embeddings/1 that fills f. Rows
// without a label are left out; a stream without any labelled row is an error.
func Collect(f *Features) batch.Stage { return collect(f, batch.EmbeddingsKind, f.add) }

// collect returns the sink of a stream of a kind that adds every record to f.
func collect(f *Features, kind batch.Kind, add func(arrow.Record) error) batch.Stage {
	return func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		schema, err := in.Schema(ctx)
		if errors.Is(err, io.EOF) {
			return errors.New("probe: the stream ended before it said what it holds")
		}
		if err != nil {
			return err
		}
		if _, err := batch.Expect(schema, kind); err != nil {
			return err
		}
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			err = add(rec)
			rec.Release()
			if err != nil {
				return err
			}
		}
		if f.N() == 0 {
			return ErrNoLabel
		}
		return nil
	}
}

// add appends the labelled rows of a record.
func (f *Features) add(rec arrow.Record) error {
	labels, err := column[*array.Int64](rec, "label")
	if err != nil {
		return err
	}
	vectors, err := column[*array.FixedSizeList](rec, "embedding")
	if err != nil {
		return err
	}
	values, ok := vectors.ListValues().(*array.Float32)
	d := int(vectors.DataType().(*arrow.FixedSizeListType).Len())
	if !ok || d < 1 || f.D != 0 && f.D != d {
		return fmt.Errorf("probe: column %q is %v, want float32 of one length in all records", "embedding", vectors.DataType())
	}
	f.D = d
	if n := vectors.NullN() + values.NullN(); n > 0 {
		return fmt.Errorf("probe: column %q: %d values are null", "embedding", n)
	}
	data := values.Float32Values()[vectors.Offset()*f.D:]
	for i := range int(rec.NumRows()) {
		if labels.IsNull(i) {
			continue
		}
		label := labels.Value(i)
		if err := CheckLabel(label); err != nil {
			return err
		}
		f.Labels = append(f.Labels, int(label))
		f.Data = append(f.Data, data[i*f.D:(i+1)*f.D]...)
	}
	return nil
}

// column returns a record's column, which must be of type T.
func column[T arrow.Array](rec arrow.Record, name string) (T, error) {
	var none T
	at := rec.Schema().FieldIndices(name)
	if len(at) != 1 {
		return none, fmt.Errorf("probe: the stream has %d columns %q, want one", len(at), name)
	}
	col, ok := rec.Column(at[0]).(T)
	if !ok {
		return none, fmt.Errorf("probe: column %q is %v, want that of embeddings/1", name, rec.Column(at[0]).DataType())
	}
	return col, nil
}

// A Score is the accuracy of a probe on its test set.
type Score struct {
	Top1 float64    // share of test rows classified correctly
	CI   [2]float64 // its 95 % interval (Wilson)
	// Balanced is the mean over the test set's classes of the share of their rows
	// classified correctly: one answer for all scores 1/classes, however many rows
	// are of its class.
	Balanced float64
}

// judge compares the labels predicted for the rows of a test set with their own.
func judge(predicted, labels []int) Score {
	correct := 0
	rows, hits := map[int]int{}, map[int]int{}
	for i, label := range labels {
		rows[label]++
		if predicted[i] == label {
			hits[label]++
			correct++
		}
	}
	s := score(correct, len(labels))
	for _, label := range slices.Sorted(maps.Keys(rows)) { // in order: sums of floats
		s.Balanced += float64(hits[label]) / float64(rows[label]) / float64(len(rows))
	}
	return s
}

// Majority returns the score of answering the most frequent class of train (the
// lowest among equals) for every row of test, which a probe has to beat. Train must
// have rows.
func Majority(train, test *Features) Score {
	rows := map[int]int{}
	for _, label := range train.Labels {
		rows[label]++
	}
	most := train.Labels[0]
	for label, n := range rows {
		if n > rows[most] || n == rows[most] && label < most {
			most = label
		}
	}
	return judge(slices.Repeat([]int{most}, test.N()), test.Labels)
}

func score(correct, n int) Score {
	const z = 1.959963984540054
	p, m := float64(correct)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Score{Top1: p, CI: [2]float64{max(0, centre-half), min(1, centre+half)}}
}
