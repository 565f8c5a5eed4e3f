package main

import (
	"fmt"
	"maps"
	"strings"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
)

// takeInitial lets the file of initial weights decide what it decides: the backbone,
// and the head, if it is one that the method has and no given flag asks for another.
func takeInitial(cfg *contrast.Config, in *encoder.Inferred, given func(flag string) bool) {
	cfg.Encoder.Depth, cfg.Encoder.CIFAR, cfg.Encoder.Width = in.Depth, in.CIFAR, in.Width
	_, err := encoder.ParseHead(string(in.Head))
	possible := in.Head != encoder.NoHead && (in.Head == cfg.Head || err == nil && cfg.Uses("head"))
	another := given("head") && cfg.Head != in.Head || given("dim") && cfg.Dim != in.Dim || given("hidden") && cfg.Hidden != in.Hidden
	if possible && !another {
		cfg.Head, cfg.Hidden, cfg.Dim = in.Head, in.Hidden, in.Dim
	}
}

// initialise gives a trainer the weights of the file, without a head that is not
// the run's.
func (j *trainJob) initialise(trainer *contrast.Trainer, s batch.State) error {
	in, err := encoder.Infer(s)
	if c := j.cfg; err == nil && in.Head != encoder.NoHead && (in.Head != c.Head || in.Hidden != c.Hidden || in.Dim != c.Dim) {
		j.log.Info("the head of --init is left out: the run's is another and starts anew", "file", fmt.Sprintf("%s of %d", in.Head, in.Dim), "run", fmt.Sprintf("%s of %d", c.Head, c.Dim))
		s.Tensors = maps.Clone(s.Tensors)
		for name := range s.Tensors {
			if strings.HasPrefix(name, "fc.") {
				delete(s.Tensors, name)
			}
		}
	}
	if err == nil {
		err = trainer.Init(s)
	}
	if err != nil {
		return fmt.Errorf("--init %s: %w", j.method.init, err)
	}
	return nil
}
