// Package contrast trains encoders by contrast: an anchor and a positive, two
// views of one sample, must score higher than the anchor and its negatives.
//
// It reads a stream of pairs and holds the objectives (InfoNCE, van den Oord et
// al. 2018), the ring-buffer queue of negatives and the momentum encoder (MoCo,
// He et al. 2020), one file per method, and the training loop:
//
//	trainer, err := contrast.New(cfg, contrast.Hooks{})
//	summary, err := trainer.Train(ctx, pairs, recorder)
//
// A method is written once, as a Step against an Executor: forward, contrast,
// enqueue, backward, optimise, on opaque handles and without looking at values.
// The Executor of this package runs a step on the processor.
package contrast
