package table_test

import (
	"strings"
	"testing"

	"clpipe/ingest/table"
)

func TestChoose(t *testing.T) {
	bytes := func(name string) table.Column { return table.Column{Name: name, Kind: table.Bytes} }
	text := func(name string) table.Column { return table.Column{Name: name, Kind: table.Text} }
	integer := func(name string) table.Column { return table.Column{Name: name, Kind: table.Integer} }
	record := func(name string, fields ...table.Column) table.Column {
		return table.Column{Name: name, Kind: table.Record, Fields: fields}
	}
	const hugging = `{"info": {"features": {"photo": {"_type": "Image"}, "breed": {"names": ["a"], "_type": "ClassLabel"}, "tags": [{"dtype": "string"}]}}}`
	for _, c := range []struct {
		name     string
		columns  []table.Column
		metadata string
		want     table.Layout
		wrong    string
	}{
		{"the only one", []table.Column{integer("label"), bytes("jpg")}, "", table.Layout{Image: 1, Bytes: -1, Path: -1, Label: 0, ID: -1}, ""},
		{"fields by name", []table.Column{record("img", text("path"), bytes("bytes"))}, "", table.Layout{Image: 0, Bytes: 1, Path: 0, Label: -1, ID: -1}, ""},
		{"declared", []table.Column{bytes("image"), record("photo", bytes("bytes"), text("path")), integer("breed"), text("id")}, hugging, table.Layout{Image: 1, Bytes: 0, Path: 1, Label: 2, ID: 3}, ""},
		{"named", []table.Column{bytes("mask"), bytes("image")}, "no JSON", table.Layout{Image: 1, Bytes: -1, Path: -1, Label: -1, ID: -1}, ""},
		{"label before class", []table.Column{integer("breed"), integer("label"), bytes("image")}, hugging, table.Layout{Image: 2, Bytes: -1, Path: -1, Label: 1, ID: -1}, ""},
		{"none", []table.Column{text("image"), record("x", text("path"))}, "", table.Layout{}, `no column of images`},
		{"two", []table.Column{bytes("a"), bytes("b")}, "", table.Layout{}, `2 columns could be the images, want one, or one of them named image: found "a", "b"`},
	} {
		got, err := table.Choose(c.columns, c.metadata)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.wrong)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestKeys(t *testing.T) {
	var keys table.Keys
	for row, c := range []struct{ name, want string }{
		{"a.png", "a.png"}, {"", "1"}, {"b.png", "b.png"}, {"a.png", "a.png#3"},
		{"1", "1#4"}, {"a.png#3", "a.png#3#5"}, {"7", "7"}, {"", "7#7"}, {"b.png#9", "b.png#9"}, {"b.png", "b.png#9#9"},
	} {
		if got, err := keys.Of(c.name, int64(row)); got != c.want || err != nil {
			t.Errorf("row %d: got %q, %v, want %q", row, got, err, c.want)
		}
	}
	if key, err := keys.Of(strings.Repeat("x", 5000), 19); key != "19" || err == nil {
		t.Errorf("a long name: got %q, %v", key, err)
	}
}
