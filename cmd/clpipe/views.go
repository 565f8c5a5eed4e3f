package main

import (
	"context"
	"errors"
	"io"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/internal/imagecodec"

	"github.com/apache/arrow/go/v15/arrow"
)

// load returns the policy the flags name. What they leave open is decided by
// the images, whose short side firstSide tells: the side of a view, and from it
// the policy, by builtin.
func (v *viewFlags) load(builtin func(size int) string, firstSide func() (int, error)) (*augment.Policy, error) {
	p, err := v.loadPolicy(builtin, firstSide)
	if err != nil {
		return nil, err
	}
	if v.localCrops < 0 || v.localSize < 0 || v.localCrops == 0 && v.localSize > 0 {
		return nil, usagef("--local-crops is %d and --local-size %d: want the first from 1 on, or neither", v.localCrops, v.localSize)
	}
	if v.localCrops > 0 {
		if p, err = p.WithLocal(v.localCrops, v.localSize); err != nil {
			return nil, usagef("--local-crops: %w", err)
		}
	}
	if v.fastDecode {
		if p, err = p.WithFastDecode(); err != nil {
			return nil, usagef("--fast-decode: %w", err)
		}
	}
	return p, nil
}

func (v *viewFlags) loadPolicy(builtin func(size int) string, firstSide func() (int, error)) (*augment.Policy, error) {
	size := v.size
	if size == 0 && v.policy != "" && !augment.IsBuiltin(v.policy) {
		if p, err := augment.Load(v.policy, 0); err == nil {
			return p, nil // the file gives the size itself
		}
	}
	if size == 0 {
		short, err := firstSide()
		if err != nil {
			return nil, err
		}
		size = sideFor(short)
	}
	name := v.policy
	if name == "" {
		name = builtin(size)
	}
	p, err := augment.Load(name, size)
	if err != nil {
		return nil, usageError{err}
	}
	return p, nil
}

// sideFor returns the side of a view for images of a short side.
func sideFor(short int) int {
	switch {
	case short <= 48:
		return 32
	case short <= 96:
		return 64
	}
	return 224
}

// shortSide returns the short side of a source's first image.
func shortSide(ctx context.Context, src *ingest.Source) (int, error) {
	first, err := src.First(ctx)
	return min(first.W, first.H), err
}

// peekReader is a stream whose first record can be looked at before it is read.
type peekReader struct {
	batch.Reader
	first arrow.Record // looked at, not yet read
}

func (p *peekReader) Read(ctx context.Context) (arrow.Record, error) {
	if rec := p.first; rec != nil {
		p.first = nil
		return rec, nil
	}
	return p.Reader.Read(ctx)
}

func (p *peekReader) release() {
	if p.first != nil {
		p.first.Release()
		p.first = nil
	}
}

// shortSide returns the short side of the stream's first readable image. in is
// the reader itself, or one around it.
func (p *peekReader) shortSide(ctx context.Context, in batch.Reader) (int, error) {
	schema, err := in.Schema(ctx)
	if errors.Is(err, io.EOF) {
		return 0, errors.New("the stream of images ended before it said what it holds")
	}
	if err != nil {
		return 0, err
	}
	kind, err := batch.Expect(schema, batch.EncodedKind, batch.ImagesKind)
	if err != nil {
		return 0, err
	}
	if p.first, err = in.Read(ctx); err != nil {
		p.first = nil
		if errors.Is(err, io.EOF) {
			return 0, errors.New("the stream of images holds no image")
		}
		return 0, err
	}
	if kind == batch.ImagesKind {
		images, err := batch.NewImages(p.first)
		if err != nil {
			return 0, err
		}
		for i := range images.Len() {
			_, h, w := images.Image(i)
			return min(h, w), nil
		}
		return 0, errors.New("the first record of the stream of images is empty: give --size")
	}
	encoded, err := batch.NewEncoded(p.first)
	if err != nil {
		return 0, err
	}
	for i := range encoded.Len() {
		if info, err := imagecodec.ReadInfo(encoded.Bytes(i)); err == nil {
			return min(info.W, info.H), nil
		}
	}
	return 0, errors.New("the first record of the stream of images has no readable image: give --size")
}
