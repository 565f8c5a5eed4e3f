package sink_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embeddings is a source of records of the given numbers of rows. Row i has id
// "s/i", label i unless that divides by 3, and embedding (i, i+0.5). err ends
// it. The records are slices, which do not begin where their memory does.
func embeddings(mem memory.Allocator, err error, rows ...int) batch.Stage {
	return func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		schema := batch.EmbeddingsSchema(batch.Metadata{batch.KeySource: "s3://b/p", batch.KeyClasses: "x,y"}, 2)
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		b := array.NewRecordBuilder(mem, schema)
		defer b.Release()
		i := 0
		for _, n := range rows {
			i--
			for range n + 1 {
				b.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("s/%d", i))
				if i%3 == 0 {
					b.Field(1).AppendNull()
				} else {
					b.Field(1).(*array.Int64Builder).Append(int64(i))
				}
				list := b.Field(2).(*array.FixedSizeListBuilder)
				list.Append(true)
				list.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{float32(i), float32(i) + 0.5}, nil)
				i++
			}
			whole := b.NewRecord()
			rec := whole.NewSlice(1, int64(n)+1)
			whole.Release()
			if err := out.Write(ctx, rec); err != nil {
				return err
			}
		}
		return err
	}
}

func TestParquetRoundTrip(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	path := filepath.Join(t.TempDir(), "x.parquet")
	rows := []int{3, 0, 1<<16 - 4, 5, 60} // across the end of a row group
	if err := batch.Run(t.Context(), 1, nil, nil, embeddings(mem, nil, rows...), sink.Parquet(path)); err != nil {
		t.Fatal(err)
	}
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := readParquet(t, path)
	defer table.Release()
	want := 1<<16 + 64
	if got := table.NumRows(); got != int64(want) || f.NumRowGroups() != 2 {
		t.Fatalf("got %d rows in %d groups, want %d in 2", got, f.NumRowGroups(), want)
	}
	for key, want := range map[string]string{batch.KeySchema: "embeddings/1", batch.KeySource: "s3://b/p", batch.KeyClasses: "x,y"} {
		if got := f.MetaData().KeyValueMetadata().FindValue(key); got == nil || *got != want {
			t.Errorf("metadata %s: got %v, want %q", key, got, want)
		}
	}
	i := 0
	rd := array.NewTableReader(table, 1000)
	defer rd.Release()
	for rd.Next() {
		rec := rd.Record()
		ids, labels, lists := rec.Column(0).(*array.String), rec.Column(1).(*array.Int64), rec.Column(2).(*array.FixedSizeList)
		values := lists.ListValues().(*array.Float32)
		for row := range int(rec.NumRows()) {
			at, _ := lists.ValueOffsets(row)
			if ids.Value(row) != fmt.Sprintf("s/%d", i) || labels.IsNull(row) != (i%3 == 0) || labels.IsValid(row) && labels.Value(row) != int64(i) ||
				values.Value(int(at)) != float32(i) || values.Value(int(at)+1) != float32(i)+0.5 {
				t.Fatalf("row %d: got %s, %s, %s", i, ids.ValueStr(row), labels.ValueStr(row), lists.ValueStr(row))
			}
			i++
		}
	}
	if i != want {
		t.Errorf("got %d rows, want %d", i, want)
	}
}

func TestParquetWithoutRows(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	path := filepath.Join(t.TempDir(), "x.parquet")
	if err := batch.Run(t.Context(), 1, nil, nil, embeddings(mem, nil), sink.Parquet(path)); err != nil {
		t.Fatal(err)
	}
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.NumRows() != 0 || f.MetaData().Schema.NumColumns() != 3 {
		t.Errorf("got %d rows, %d columns", f.NumRows(), f.MetaData().Schema.NumColumns())
	}
}

func TestParquetOfOthersRecords(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	// Another order, a column more, no label.
	meta := arrow.NewMetadata([]string{batch.KeySchema}, []string{"embeddings/1"})
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "score", Type: arrow.PrimitiveTypes.Float64},
		{Name: "embedding", Type: arrow.FixedSizeListOf(1, arrow.PrimitiveTypes.Float32)},
		{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
	}, &meta)
	source := func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		rec, _, err := array.RecordFromJSON(mem, schema, strings.NewReader(`[{"score":1,"embedding":[7],"id":"a"}]`))
		if err != nil {
			return err
		}
		return out.Write(ctx, rec)
	}
	path := filepath.Join(t.TempDir(), "x.parquet")
	if err := batch.Run(t.Context(), 1, nil, nil, source, sink.Parquet(path)); err != nil {
		t.Fatal(err)
	}
	table := readParquet(t, path)
	defer table.Release()
	var got []string
	for i := range int(table.NumCols()) {
		got = append(got, table.Column(i).Name(), table.Column(i).Data().Chunk(0).ValueStr(0))
	}
	if want := []string{"id", "a", "label", array.NullValueStr, "embedding", "[7]"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func readParquet(t *testing.T, path string) arrow.Table {
	t.Helper()
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestParquetKeepsTheOldFileWhenItFails(t *testing.T) {
	broken := errors.New("broken")
	for name, source := range map[string]func(mem memory.Allocator) batch.Stage{
		"source fails": func(mem memory.Allocator) batch.Stage { return embeddings(mem, broken, 5, 5) },
		"other stream": func(mem memory.Allocator) batch.Stage {
			return func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
				return out.Open(ctx, batch.EncodedSchema(nil))
			}
		},
		"no schema": func(mem memory.Allocator) batch.Stage {
			return func(context.Context, batch.Reader, batch.Writer) error { return nil }
		},
		"ids that are null": func(mem memory.Allocator) batch.Stage {
			return func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
				schema := batch.EmbeddingsSchema(nil, 1)
				if err := out.Open(ctx, schema); err != nil {
					return err
				}
				rec, _, err := array.RecordFromJSON(mem, schema, strings.NewReader(`[{"id":null,"label":1,"embedding":[7]}]`))
				if err != nil {
					return err
				}
				return out.Write(ctx, rec)
			}
		},
		"records of another schema": func(mem memory.Allocator) batch.Stage {
			return func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
				if err := out.Open(ctx, batch.EmbeddingsSchema(nil, 3)); err != nil {
					return err
				}
				b := array.NewRecordBuilder(mem, arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, nil))
				defer b.Release()
				b.Field(0).AppendEmptyValue()
				return out.Write(ctx, b.NewRecord())
			}
		},
	} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		dir := t.TempDir()
		path := filepath.Join(dir, "x.parquet")
		if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		err := batch.Run(t.Context(), 1, nil, nil, source(mem), sink.Parquet(path))
		if err == nil || !errors.Is(err, broken) && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want one that names the file", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
			t.Errorf("%s: the file is now %q (%v)", name, text, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: left behind %v (%v)", name, entries, err)
		}
		mem.AssertSize(t, 0)
	}
}
