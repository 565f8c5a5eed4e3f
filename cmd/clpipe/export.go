package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"clpipe/encoder/onnx"
	"clpipe/sink"

	"github.com/spf13/cobra"
)

// exportCommand writes a run's encoder for other programs.
func exportCommand(std stdio, _ *signals) *cobra.Command {
	var job exportJob
	cmd := &cobra.Command{
		Use:   "export --run DIR [--format safetensors|onnx] -o FILE",
		Short: "Write a run's encoder for other programs: safetensors or ONNX",
		Long: `Writes the encoder of a run's last checkpoint.

safetensors has the tensors under torchvision's names, the projection head as fc,
for load_state_dict. onnx is a model (operator set 17) with the input "input",
float32 [N,3,S,S], channels first and already normalised, any N; and the outputs
"features" [N,C] (pooled, what probes and embed read) and, of a network with a
projection head, "embedding" [N,D] (behind the head, before its normalisation to
unit length). Both carry the encoder's name, the size of a view and the
normalisation of the input, (x/255 - mean)/std, as metadata.`,
		Example: `  clpipe export --run runs/first -o encoder.onnx
  clpipe export --run runs/first --format safetensors -o encoder.safetensors`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return job.do(std)
		},
	}
	fs := cmd.Flags()
	job.common.addOutput(fs)
	fs.StringVar(&job.run, "run", "", "run directory")
	addWeights(fs, &job.weights)
	fs.StringVar(&job.format, "format", "", "safetensors or onnx (default by the file's name)")
	fs.StringVarP(&job.output, "output", "o", "", "file to write")
	return cmd
}

// exportJob is one call of the command.
type exportJob struct {
	common                       commonFlags
	run, weights, format, output string
}

func (j *exportJob) do(std stdio) error {
	if j.output == "" || j.output == "-" {
		return usagef("-o is missing: name the file to write, as in -o encoder.onnx")
	}
	if j.format == "" {
		j.format = strings.TrimPrefix(filepath.Ext(j.output), ".")
	}
	if j.format != "safetensors" && j.format != "onnx" {
		return usagef("the format is %q, want safetensors or onnx: name it by --format", j.format)
	}
	m, err := loadModel(j.run, j.weights)
	if err != nil {
		return err
	}
	if j.format == "onnx" {
		err = m.writeONNX(j.output)
	} else {
		err = sink.WriteSafetensors(j.output, m.params.State(), m.describe())
	}
	if err != nil {
		return err
	}
	if j.common.json {
		return printJSON(std.out, map[string]any{"file": j.output, "format": j.format, "step": m.step, "encoder": m.config.EncoderName(), "parameters": m.params.Count()})
	}
	_, err = fmt.Fprintf(std.out, "%s of step %d: %s\n", m.config.EncoderName(), m.step, j.output)
	return err
}

// writeONNX writes what the network offers as vectors: features, and the
// projection where there is one.
func (m *model) writeONNX(path string) error {
	outputs := map[string]string{"features": "features"}
	if _, ok := m.graph.Find("projection"); ok {
		outputs["projection"] = "embedding"
	}
	return sink.Replace(path, func(w io.Writer) error {
		return onnx.Write(w, onnx.Model{Graph: m.graph, Params: m.params, Outputs: outputs, Metadata: m.describe(), Version: version()})
	})
}

// describe returns what a program needs to know to use the weights.
func (m *model) describe() map[string]string {
	numbers := func(v [3]float32) string {
		var out []string
		for _, x := range v {
			out = append(out, strconv.FormatFloat(float64(x), 'g', -1, 32))
		}
		return strings.Join(out, " ")
	}
	c := m.config
	return map[string]string{
		"encoder": c.EncoderName(), "method": c.Method, "width": strconv.FormatFloat(c.Encoder.Width, 'g', -1, 64),
		"size": strconv.Itoa(c.Encoder.Size), "step": strconv.Itoa(m.step),
		"mean": numbers(c.Encoder.Normalize.Mean), "std": numbers(c.Encoder.Normalize.Std),
	}
}
