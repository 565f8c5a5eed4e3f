package main

import (
	"context"
	"fmt"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/ingest/remote"
	"clpipe/internal/imagecodec"
	"clpipe/internal/par"
)

// sourceName says where a bench's images come from.
func (b *bench) sourceName() string {
	if len(b.source.src) == 0 {
		return "drawn images"
	}
	return remote.Redact(b.source.src[0])
}

// decode measures decoding alone, without reading: each worker takes one file
// after the other, as the stage does.
func (b *bench) decode(ctx context.Context) ([]timing, error) {
	sides := []int{0}
	if len(b.source.src) == 0 {
		sides = []int{drawnSide(32), drawnSide(224)}
	}
	b.kernel = imagecodec.Kernels()
	b.setup = "decode: " + b.sourceName()
	var out []timing
	for _, side := range sides {
		t, err := b.decodeFiles(ctx, side)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (b *bench) decodeFiles(ctx context.Context, side int) (timing, error) {
	shelf, err := b.files(ctx, side)
	if err != nil {
		return timing{}, err
	}
	defer shelf.release()
	workers, err := b.decodeWorkers()
	if err != nil {
		return timing{}, err
	}
	var files [][]byte
	var sum int64 // pixels
	for _, rec := range shelf.records {
		view, err := batch.NewEncoded(rec)
		if err != nil {
			return timing{}, err
		}
		for i := range view.Len() {
			if w := &workers[0]; w.decoder.Decode(view.Bytes(i), &w.image) == nil {
				files = append(files, view.Bytes(i))
				sum += int64(w.image.W) * int64(w.image.H)
			}
		}
	}
	if len(files) == 0 {
		return timing{}, fmt.Errorf("bench: none of %d images can be decoded", shelf.rows())
	}
	seconds, err := b.measurePhases(ctx, []par.Phase{{Tasks: len(files), Run: func(worker, i int) {
		w := &workers[worker]
		w.decoder.Decode(files[i], &w.image) // decoded before without an error
	}}})
	name := fmt.Sprintf("jpeg of %.3g Mpixel", float64(sum)/float64(len(files))/1e6)
	if side > 0 {
		name = fmt.Sprintf("jpeg %dx%d", side, side)
	}
	return timing{name: name, work: float64(len(files)), count: 1, seconds: seconds}, err
}

// augment measures the stage that makes pairs: from images decoded before, and
// from files as in the main job, where decoding leaves out what no crop needs;
// and that decoding alone.
func (b *bench) augment(ctx context.Context) ([]timing, error) {
	if b.method.batch < 1 {
		return nil, usagef("--batch is %d, want at least 1", b.method.batch)
	}
	b.setup = "augment: " + b.sourceName()
	sizes := []int{b.views.size}
	if b.views.size == 0 && len(b.source.src) == 0 {
		sizes = []int{32, 224}
	}
	var out []timing
	for _, size := range sizes {
		timings, err := b.augmentSize(ctx, size)
		if err != nil {
			return nil, err
		}
		out = append(out, timings...)
	}
	return out, nil
}

func (b *bench) augmentSize(ctx context.Context, size int) ([]timing, error) {
	files, policy, err := b.filesAndPolicy(ctx, size, contrast.PolicyFor)
	if err != nil {
		return nil, err
	}
	defer files.release()
	images, err := b.decoded(files)
	if err != nil {
		return nil, err
	}
	defer images.release()
	name := b.policyName(policy)
	var out []timing
	for _, input := range []struct {
		what  string
		shelf *shelf
		count int
	}{{"from decoded images", images, 0}, {"from files", files, 1}} {
		if policy.FastDecode() && input.shelf == images {
			continue // which are decoded whole
		}
		t, err := b.augmentShelf(ctx, input.shelf, policy)
		if err != nil {
			return nil, err
		}
		t.name, t.count = fmt.Sprintf("%s %d px %s", name, policy.Size(), input.what), input.count
		out = append(out, t)
	}
	t, err := b.decodeForViews(ctx, files, policy)
	t.name = fmt.Sprintf("%s %d px decoding alone", name, policy.Size())
	return append(out, t), err
}

// decodeForViews measures decoding what the policy's crops need, the floor of
// making pairs from files.
func (b *bench) decodeForViews(ctx context.Context, shelf *shelf, policy *augment.Policy) (timing, error) {
	type file struct {
		bytes []byte
		key   augment.SampleKey
	}
	var files []file
	for _, rec := range shelf.records {
		view, err := batch.NewEncoded(rec)
		if err != nil {
			return timing{}, err
		}
		for i := range view.Len() {
			files = append(files, file{view.Bytes(i), augment.SampleKey{Seed: b.common.seed, Epoch: view.Epoch(i), ID: view.ID(i)}})
		}
	}
	workers, err := b.decodeWorkers()
	if err != nil {
		return timing{}, err
	}
	seconds, err := b.measurePhases(ctx, []par.Phase{{Tasks: len(files), Run: func(worker, i int) {
		w := &workers[worker]
		policy.Decode(&w.decoder, files[i].bytes, files[i].key, &w.image) // a damaged sample of --src costs what it costs
	}}})
	return timing{work: float64(len(files)), seconds: seconds}, err
}

// decodeWorker is the scratch memory of one goroutine.
type decodeWorker struct {
	decoder imagecodec.Decoder
	image   imagecodec.Image
}

func (b *bench) decodeWorkers() ([]decodeWorker, error) {
	pixels, err := b.source.pixels()
	if err != nil {
		return nil, err
	}
	workers := make([]decodeWorker, b.pool.Workers())
	for i := range workers {
		workers[i].decoder.Limits.MaxPixels = pixels
	}
	return workers, nil
}

// policyName returns the name the policy was asked for by.
func (b *bench) policyName(p *augment.Policy) string {
	if b.views.policy != "" {
		return b.views.policy
	}
	return contrast.PolicyFor(p.Size())
}

// augmentShelf measures the stage on one reading of a shelf.
func (b *bench) augmentShelf(ctx context.Context, in *shelf, policy *augment.Policy) (timing, error) {
	stage, err := b.augmentStage(policy, b.method.batch)
	if err != nil {
		return timing{}, err
	}
	var made int
	seconds, err := b.measure(ctx, func() error {
		var out countRows
		err := stage(ctx, in.reader(nil), &out)
		made = out.rows
		return err
	})
	if err == nil && made == 0 {
		err = fmt.Errorf("bench: the policy makes no pair of %d images", in.rows())
	}
	return timing{work: float64(made), seconds: seconds}, err
}

// filesAndPolicy returns the images, of --src or drawn for views of a size, and
// the policy; both settle each other as in the main job. A size of 0 is open.
func (b *bench) filesAndPolicy(ctx context.Context, size int, builtin func(size int) string) (*shelf, *augment.Policy, error) {
	files, err := b.files(ctx, drawnSide(max(size, 32)))
	if err != nil {
		return nil, nil, err
	}
	views := b.views
	if views.size == 0 {
		views.size = size
	}
	policy, err := views.load(builtin, func() (int, error) {
		peek := &peekReader{Reader: files.reader(nil)}
		defer peek.release()
		return peek.shortSide(ctx, peek)
	})
	if err != nil {
		files.release()
		return nil, nil, err
	}
	return files, policy, nil
}
