// Package table finds the images, labels and names of samples among the columns
// of a table, for the formats that store tables: Parquet and Arrow IPC.
//
// Images stand in a column of files' bytes, or in Hugging Face's form, a record
// with the fields bytes and path (matched by name). The column is what the
// schema's "huggingface" metadata calls an Image, else the one named image,
// else the only one that can be. The label is the integer column label, else
// the only one that the metadata calls a ClassLabel. A sample's key is its path,
// else the text column id, else the number of its row.
package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clpipe/ingest/shard"
	"clpipe/internal/rng"
)

// Kind is what the values of a column are.
type Kind int

// The kinds of column that are told apart.
const (
	Other Kind = iota
	Bytes
	Text
	Integer
	Record
	Pixels // arrow.variable_shape_tensor of uint8 [H,W,3]
)

// Column is what a format says of a column.
type Column struct {
	Name   string
	Kind   Kind
	Fields []Column // of a Record
}

// Layout says where things stand, by the columns' places; -1 is nowhere.
type Layout struct {
	Image int
	Bytes int // field of Image, where that is a record
	Path  int // likewise
	Label int
	ID    int
}

// Choose returns the layout of a table. metadata is the schema's entry
// "huggingface", "" if it has none.
func Choose(columns []Column, metadata string) (Layout, error) {
	l := Layout{Image: -1, Bytes: -1, Path: -1, Label: -1, ID: -1}
	features := parseFeatures(metadata)
	var images, declared, classes []int
	for i, c := range columns {
		if isImage(c) {
			images = append(images, i)
			if features[c.Name] == "Image" {
				declared = append(declared, i)
			}
		}
		switch {
		case c.Kind == Integer && c.Name == "label":
			l.Label = i
		case c.Kind == Integer && features[c.Name] == "ClassLabel":
			classes = append(classes, i)
		case c.Kind == Text && c.Name == "id":
			l.ID = i
		}
	}
	if l.Label < 0 && len(classes) == 1 {
		l.Label = classes[0]
	}
	if len(declared) > 0 {
		images = declared
	}
	named := slices.IndexFunc(images, func(i int) bool { return columns[i].Name == "image" })
	switch {
	case named >= 0:
		l.Image = images[named]
	case len(images) == 1:
		l.Image = images[0]
	case len(images) == 0:
		return l, fmt.Errorf("no column of images, want one of bytes or of records with the fields bytes and path: found %s", summary(columns))
	default:
		return l, fmt.Errorf("%d columns could be the images, want one, or one of them named image: found %s", len(images), summary(columns))
	}
	for i, f := range columns[l.Image].Fields {
		switch {
		case f.Name == "bytes" && f.Kind == Bytes:
			l.Bytes = i
		case f.Name == "path" && (f.Kind == Text || f.Kind == Bytes):
			l.Path = i
		}
	}
	return l, nil
}

// isImage tells whether a column can hold images.
func isImage(c Column) bool {
	switch c.Kind {
	case Bytes, Pixels:
		return true
	case Record:
		return slices.ContainsFunc(c.Fields, func(f Column) bool { return f.Name == "bytes" && f.Kind == Bytes })
	}
	return false
}

// parseFeatures returns the types of the columns as Hugging Face's metadata has
// them. What is not of its form says nothing.
func parseFeatures(metadata string) map[string]string {
	var parsed struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(metadata), &parsed) != nil {
		return nil
	}
	types := map[string]string{}
	for name, raw := range parsed.Info.Features {
		var feature struct {
			Type string `json:"_type"`
		}
		if json.Unmarshal(raw, &feature) == nil { // a list feature is none of ours
			types[name] = feature.Type
		}
	}
	return types
}

// summary names the columns there are.
func summary(columns []Column) string {
	if len(columns) == 0 {
		return "no columns"
	}
	const most = 8
	var names []string
	for _, c := range columns[:min(len(columns), most)] {
		names = append(names, strconv.Quote(c.Name[:min(len(c.Name), 40)]))
	}
	if len(columns) > most {
		names = append(names, fmt.Sprintf("%d more", len(columns)-most))
	}
	return strings.Join(names, ", ")
}

// Keys names the samples of a table: by their names, and by their rows where
// they have none. A key that came before is followed by # and the row, until it is
// new: no two samples are one.
type Keys struct{ seen map[uint64]struct{} }

// maxKeyBytes is a path of the operating system.
const maxKeyBytes = 4096

// Of returns the key of a row, and an error for a name that cannot be one.
func (k *Keys) Of(name string, row int64) (string, error) {
	var bad error
	if len(name) > maxKeyBytes {
		name, bad = "", fmt.Errorf("a name of %d bytes, want at most %d", len(name), maxKeyBytes)
	}
	key := name
	if key == "" {
		key = strconv.FormatInt(row, 10)
	}
	for !k.add(key) {
		key += "#" + strconv.FormatInt(row, 10)
	}
	return key, bad
}

// add tells whether a key is new.
func (k *Keys) add(key string) bool {
	if k.seen == nil {
		k.seen = map[uint64]struct{}{}
	}
	before := len(k.seen)
	k.seen[rng.HashID(key)] = struct{}{}
	return len(k.seen) > before
}

// NoBytes is the damage of a row whose image has no bytes.
func NoBytes(key string, row int64, path string) *shard.Damage {
	why := errors.New("the row has no image")
	if path != "" {
		why = fmt.Errorf("the row names the file %.200q but does not hold it: write the images' bytes into the table", path)
	}
	return &shard.Damage{Key: key, Offset: row, What: "read", Why: why}
}

// BadSize is the damage of a row whose image is empty or too large.
func BadSize(key string, row, size, most int64) *shard.Damage {
	why := errors.New("the image is empty")
	if size > 0 {
		why = fmt.Errorf("%d bytes, want at most %d", size, most)
	}
	return &shard.Damage{Key: key, Offset: row, What: "read", Why: why}
}
