package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/sink"
)

// A start is what trainings begin with: a network, and its weights for a seed.
type start struct {
	name   string
	model  *model
	params func(seed uint64) *encoder.Params
}

// trainedStart names the weights of --run.
const trainedStart = "trained"

// starts returns that of --run and the baselines, each under a name of its own.
func (f *detectFlags) starts() ([]start, error) {
	m, err := loadModel(f.run, f.weights)
	if err != nil {
		return nil, err
	}
	starts := []start{{trainedStart, m, m.weights}}
	for i, b := range f.baselines {
		if slices.Contains(f.baselines[:i], b) {
			return nil, usagef("--baselines has %q twice", b)
		}
		s, err := f.baseline(b, m)
		if err != nil {
			return nil, err
		}
		taken := func(name string) bool {
			return slices.ContainsFunc(starts, func(other start) bool { return other.name == name })
		}
		if taken(s.name) {
			s.name = filepath.ToSlash(filepath.Clean(b))
		}
		for taken(s.name) {
			s.name += "'"
		}
		starts = append(starts, s)
	}
	return starts, nil
}

const weightsExt = ".safetensors"

// baseline returns the start that one of --baselines names.
func (f *detectFlags) baseline(b string, m *model) (s start, err error) {
	if b == randomBaseline {
		return start{b, m, func(seed uint64) *encoder.Params { return encoder.NewParams(m.graph, seed) }}, nil
	}
	info, err := os.Stat(b)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return start{}, fmt.Errorf("--baselines: %w", err)
	}
	path, absErr := filepath.Abs(b) // "." has a name too
	switch {
	case absErr != nil:
		return start{}, fmt.Errorf("--baselines: %w", absErr)
	case err == nil && info.IsDir():
		s.name = filepath.Base(path)
		s.model, err = loadModel(b, f.weights)
	case filepath.Ext(b) == weightsExt:
		s.name = strings.TrimSuffix(filepath.Base(path), weightsExt)
		s.model, err = m.withWeights(b)
	default:
		return start{}, usagef("--baselines has %q, want random, a safetensors file or another run's directory", b)
	}
	if err != nil {
		return start{}, fmt.Errorf("--baselines: %w", err)
	}
	s.params = s.model.weights
	return s, nil
}

// weights are a model's own, whatever the seed.
func (m *model) weights(uint64) *encoder.Params { return m.params }

// withWeights returns the network up to its features with the weights of a file. Heads
// of either play no part.
func (m *model) withWeights(path string) (*model, error) {
	file, err := sink.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	graph := m.graph.Part("features")
	params := encoder.NewParams(graph, 0)
	state := batch.State{Tensors: params.State().Tensors}
	for name := range state.Tensors {
		if tensor, ok := file.Tensors[name]; ok {
			state.Tensors[name] = tensor
		} else {
			delete(state.Tensors, name) // and is told of as missing, if it is needed
		}
	}
	if err := params.Load(state); err != nil {
		return nil, fmt.Errorf("%s: %w: want the weights of the run's network, %s, under the same names", path, err, m.config.EncoderName())
	}
	return &model{config: m.config, graph: graph, params: params}, nil
}
