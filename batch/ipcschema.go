package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// Arrow's numbers for types that need a word: union Type of the
// specification's format/Schema.fbs.
const timestampType = 10

// unreadTypes are the types whose columns are not read. No stream of clpipe's
// has them, and each would be another way in for damaged data.
var unreadTypes = map[byte]string{
	14: "a union", 17: "a map", 22: "run-end encoded",
	23: "a binary view", 24: "a string view", 25: "a list view", 26: "a large list view",
}

// maxNesting is the depth of types: arrow.variable_shape_tensor has 3.
const maxNesting = 16

// decodeSchema returns the schema a message holds. Arrow's decoder allocates
// and recurses as the message tells it to, so the message is walked first.
func decodeSchema(m message) (*arrow.Schema, error) {
	if m.kind != schemaHeader || m.body != 0 {
		return nil, fmt.Errorf("the first message has header type %d and a body of %d bytes, want a schema (%d) without a body", m.kind, m.body, schemaHeader)
	}
	if err := checkSchema(m); err != nil {
		return nil, err
	}
	var framed bytes.Buffer
	framed.Write(continuation)
	framed.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(m.meta))))
	framed.Write(m.meta)
	rd, err := ipc.NewReader(&framed, ipc.WithEnsureNativeEndian(false))
	if err != nil {
		return nil, err
	}
	defer rd.Release()
	schema := rd.Schema()
	if !schema.IsNativeEndian() {
		return nil, errors.New("the numbers of the stream are big-endian, want little-endian")
	}
	return schema, nil
}

// schemaWalk adds up what a schema says. In an honest message every field,
// name, key and value has bytes of its own; one that points many times at the
// same bytes to be decoded into gigabytes runs out of budget.
type schemaWalk struct{ budget int }

const fieldSize = 32 // bytes; a field's table, name, type and place in its vector take more

func (w *schemaWalk) spend(n int) {
	if w.budget -= n; w.budget < 0 {
		panic("its parts are longer than the whole")
	}
}

func checkSchema(m message) (err error) {
	defer damaged(&err)
	w := schemaWalk{budget: len(m.meta)}
	w.keyValues(m.header, 2)
	return w.fields(m.header, 1, nil)
}

// fields walks the fields in a slot of t; path names the columns around them.
func (w *schemaWalk) fields(t table, slot int, path []string) error {
	start, n := t.vector(slot, 4)
	for j := range n {
		f := t.element(start, j)
		w.spend(fieldSize)
		name := w.string(f, 0)
		path := append(slices.Clip(path), name)
		if len(path) > maxNesting {
			return fmt.Errorf("column %.80q: types are nested more than %d deep", path[0], maxNesting)
		}
		kind := f.byte(2)
		if what, unread := unreadTypes[kind]; unread {
			return fmt.Errorf("column %.80q is %s, which is not supported: write a plain column, or leave it out", path[0], what)
		}
		if _, encoded := f.table(4); encoded {
			return fmt.Errorf("column %.80q is dictionary-encoded, which is not supported: write a plain column, or leave it out", path[0])
		}
		if kind == timestampType {
			if t, ok := f.table(3); ok {
				w.string(t, 1) // the time zone
			}
		}
		w.keyValues(f, 6)
		if err := w.fields(f, 5, path); err != nil {
			return err
		}
	}
	return nil
}

func (w *schemaWalk) keyValues(t table, slot int) {
	start, n := t.vector(slot, 4)
	for j := range n {
		kv := t.element(start, j)
		w.string(kv, 0)
		w.string(kv, 1)
	}
}

func (w *schemaWalk) string(t table, slot int) string {
	start, n := t.vector(slot, 1)
	w.spend(4 + n)
	return string(t.Bytes[start : int(start)+n])
}
