package main

import (
	"fmt"
	"slices"

	"clpipe/batch"
	"clpipe/internal/imagecodec"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow"
)

// streamRow is what can be said of a row of any stream.
type streamRow struct {
	ID    string  `json:"id"`
	Epoch uint32  `json:"epoch"`
	Index *uint64 `json:"index,omitempty"` // nil: the stream does not say
	Label *int64  `json:"label,omitempty"` // nil: none
	// Shape is [H,W,3] of an image, [S,S,3] or [G,G,P,P,3] of a view, [D] of an
	// embedding; unknown of a file that cannot be read.
	Shape  []int  `json:"shape,omitempty"`
	Views  int    `json:"views,omitempty"`  // of a pair
	Local  []int  `json:"local,omitempty"`  // [V,s,s,3] of the local views of a pair
	Format string `json:"format,omitempty"` // of an encoded image, "damaged" if it has none
	Bytes  int    `json:"bytes,omitempty"`  // of an encoded image
}

// recordRows are the rows of one record.
type recordRows struct {
	*batch.Samples
	// describe completes what all kinds of rows share.
	describe func(i int, r *streamRow)
	pictures func(i int) ([]sink.Picture, error)
}

func (r *recordRows) row(i int) streamRow {
	row := streamRow{ID: r.ID(i), Epoch: r.Epoch(i)}
	if index, ok := r.Index(i); ok {
		row.Index = &index
	}
	if label, ok := r.Label(i); ok {
		row.Label = &label
	}
	r.describe(i, &row)
	return row
}

// rowsOf views a record of the kind; the caller keeps holding it.
func rowsOf(kind batch.Kind, rec arrow.Record) (*recordRows, error) {
	switch kind {
	case batch.ImagesKind:
		images, err := batch.NewImages(rec)
		if err != nil {
			return nil, err
		}
		return imageRows(images), nil
	case batch.EncodedKind:
		encoded, err := batch.NewEncoded(rec)
		if err != nil {
			return nil, err
		}
		return encodedRows(encoded), nil
	case batch.PairsKind:
		pairs, err := batch.NewPairs(rec)
		if err != nil {
			return nil, err
		}
		return pairRows(pairs), nil
	}
	embeddings, err := batch.NewEmbeddings(rec)
	if err != nil {
		return nil, err
	}
	return &recordRows{
		Samples:  &embeddings.Samples,
		describe: func(_ int, r *streamRow) { r.Shape = []int{embeddings.Dim} },
		pictures: func(int) ([]sink.Picture, error) {
			return nil, usagef("the stream holds embeddings: there is nothing to draw")
		},
	}, nil
}

func imageRows(images *batch.Images) *recordRows {
	return &recordRows{
		Samples: &images.Samples,
		describe: func(i int, r *streamRow) {
			_, h, w := images.Image(i)
			r.Shape = []int{h, w, 3}
		},
		pictures: func(i int) ([]sink.Picture, error) {
			pix, h, w := images.Image(i)
			return []sink.Picture{{Pix: pix, W: w, H: h}}, nil
		},
	}
}

func encodedRows(encoded *batch.Encoded) *recordRows {
	var (
		decoder imagecodec.Decoder
		img     imagecodec.Image
	)
	return &recordRows{
		Samples: &encoded.Samples,
		describe: func(i int, r *streamRow) {
			r.Bytes, r.Format = len(encoded.Bytes(i)), "damaged"
			if info, err := imagecodec.ReadInfo(encoded.Bytes(i)); err == nil {
				r.Format, r.Shape = info.Format, []int{info.H, info.W, 3}
			}
		},
		pictures: func(i int) ([]sink.Picture, error) {
			if err := decoder.Decode(encoded.Bytes(i), &img); err != nil {
				return nil, fmt.Errorf("%s: decode: %w", encoded.ID(i), err)
			}
			return []sink.Picture{{Pix: img.Pix, W: img.W, H: img.H}}, nil
		},
	}
}

func pairRows(pairs *batch.Pairs) *recordRows {
	views := [][]byte{pairs.Anchor}
	if pairs.Positive != nil {
		views = append(views, pairs.Positive)
	}
	return &recordRows{
		Samples:  &pairs.Samples,
		describe: func(_ int, r *streamRow) { r.Shape, r.Views, r.Local = pairs.Shape, len(views), pairs.LocalShape },
		pictures: func(i int) ([]sink.Picture, error) {
			var out []sink.Picture
			for _, v := range views {
				size := len(v) / pairs.Len()
				out = append(out, viewPicture(v[i*size:(i+1)*size], pairs.Shape))
			}
			return append(out, localPictures(pairs, i)...), nil
		},
	}
}

// localPictures returns the local views of a row, none if the stream has none.
func localPictures(pairs *batch.Pairs, i int) []sink.Picture {
	var out []sink.Picture
	if shape := pairs.LocalShape; shape != nil {
		size := 3 * shape[1] * shape[2]
		for v := range shape[0] {
			at := (i*shape[0] + v) * size
			out = append(out, sink.Picture{Pix: pairs.Local[at : at+size], W: shape[2], H: shape[1]})
		}
	}
	return out
}

// viewColumns names the columns of a sheet of pairs.
func viewColumns(views, locals int) []string {
	columns := slices.Clone([]string{"anchor", "positive"}[:views])
	for v := range locals {
		columns = append(columns, fmt.Sprintf("local %d", v+1))
	}
	return columns
}

// viewPicture returns a view, [S,S,3] or a grid of patches [G,G,P,P,3], as one
// picture.
func viewPicture(pix []byte, shape []int) sink.Picture {
	if len(shape) == 3 {
		return sink.Picture{Pix: pix, W: shape[1], H: shape[0]}
	}
	grid, side := shape[0], shape[2]
	out := sink.Picture{Pix: make([]byte, 0, len(pix)), W: grid * side, H: grid * side}
	for gy := range grid {
		for y := range side {
			for gx := range grid {
				at := ((gy*grid+gx)*side + y) * side * 3
				out.Pix = append(out.Pix, pix[at:at+3*side]...)
			}
		}
	}
	return out
}
