package contrast

import (
	"fmt"
	"math"

	"clpipe/encoder"
	"clpipe/internal/par"
)

// supervisedMethod trains the encoder on labels: no contrast, but what contrast
// is measured against, with the same network, data and budget. On small images
// it is the CIFAR recipe of ResNet-18, else ImageNet's.
//
// Dim is the number of classes; labels are in [0,Dim).
var supervisedMethod = method{
	name: "supervised", policy: "supervised", oneView: true, labelled: true, build: buildSupervised,
	recipe: func(c *Config, size int) {
		c.SplitBN, c.Nesterov, c.WeightDecay = 1, true, 1e-4
		c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 0.1, Epochs: 90}
		if size <= largeView {
			c.Encoder.Depth, c.Encoder.Normalize = 18, NormalizeCIFAR10
			c.Batch, c.WeightDecay, c.Schedule.Epochs = 128, 5e-4, 200
		}
	},
	small: func(c *Config) { c.Encoder.Depth = 18 },
	graph: func(c Config) *encoder.Graph {
		g := encoder.ResNet(c.Encoder)
		g.AddHead(encoder.Head{Kind: encoder.LinearHead, Dim: c.Dim})
		return g
	},
}

type supervised struct {
	net  Net
	pass Pass
	loss Loss
}

// logits is the output of a linear head.
const logits = "projection"

func buildSupervised(x Executor, g *encoder.Graph, _ Config) Method {
	m := &supervised{net: x.Network("encoder_q", g)}
	m.pass = x.Pass(m.net, PassSpec{Grads: []string{logits}})
	m.loss = x.Loss(CrossEntropy{Logits: Out{m.pass, logits}})
	return m
}

// Step implements Method.
func (m *supervised) Step(x Executor) {
	x.Forward(m.pass)
	x.Contrast(m.loss)
	x.Backward(m.pass)
	x.Optimise(m.net)
}

// CrossEntropy classifies the rows of an output [N,C] by the batch's labels:
// the mean over rows of log Σ_c e^z_c - z_label.
type CrossEntropy struct{ Logits Out }

func (o CrossEntropy) bind(c *cpu) boundLoss {
	rows, grad := c.rows(o.Logits), c.grad(o.Logits)
	losses, above := make([]float32, rows.N), make([]int32, rows.N)
	scale := 1 / float64(rows.N)
	return boundLoss{
		phases: []par.Phase{{Tasks: rows.N, Run: func(_, i int) {
			loss, n := crossEntropy(grad.Row(i), rows.Row(i), int(c.batch.Labels[i]), scale)
			losses[i], above[i] = float32(loss), int32(n)
		}}},
		value: func() float64 { return mean(losses) },
		acc1:  func() float64 { return shareBelow(above, 1) },
		report: func(m *Metrics) {
			// What the features tell about the label: at least its entropy less the
			// cross-entropy. That of the batch's labels is below it in the mean, as a
			// batch's InfoNCE is.
			m.MIBound = entropyOf(c.batch.Labels, rows.D) - mean(losses)
			m.Acc1, m.Acc5 = shareBelow(above, 1), known(shareBelow(above, 5))
		},
	}
}

// entropyOf returns that of the shares that the classes have of the labels, in nats.
func entropyOf(labels []int32, classes int) float64 {
	rows := make([]int, classes)
	for _, label := range labels {
		rows[label]++
	}
	sum := 0.0
	for _, n := range rows {
		if n > 0 {
			share := float64(n) / float64(len(labels))
			sum -= share * math.Log(share)
		}
	}
	return sum
}

// crossEntropy returns the loss of a row of logits z and how many of them are
// above the label's, and adds scale·(softmax(z) - onehot) to grad.
func crossEntropy(grad, z []float32, label int, scale float64) (loss float64, above int) {
	top := math.Inf(-1)
	for _, v := range z {
		top = max(top, float64(v))
		if v > z[label] {
			above++
		}
	}
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	for c, v := range z {
		grad[c] += float32(scale * math.Exp(float64(v)-top) / sum)
	}
	grad[label] -= float32(scale)
	return top + math.Log(sum) - float64(z[label]), above
}

// A LabelError says that a sample cannot be trained on with labels.
type LabelError struct {
	ID      string
	Label   int64
	None    bool // it has no label
	Classes int
}

// Error says what to do about it.
func (e *LabelError) Error() string {
	if e.None {
		return fmt.Sprintf("contrast: sample %.200q has no label, which --method supervised needs: give shards with .cls fields or a folder of class folders", e.ID)
	}
	return fmt.Sprintf("contrast: sample %.200q has label %d, want one in [0,%d): give the number of classes as --dim", e.ID, e.Label, e.Classes)
}
