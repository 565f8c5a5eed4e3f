package onnx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"

	"google.golang.org/protobuf/encoding/protowire"
)

var cifar = encoder.Normalize{Mean: [3]float32{.4914, .4822, .4465}, Std: [3]float32{.2023, .1994, .2010}}

// networks are one of each kind, small.
var networks = map[string]func() *encoder.Graph{
	"resnet18-cifar, linear head": func() *encoder.Graph {
		return resnet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.125}, encoder.LinearHead)
	},
	"resnet18, mlp head": func() *encoder.Graph {
		return resnet(encoder.ResNetConfig{Depth: 18, Size: 72, Width: 0.125}, encoder.MLPHead)
	},
	"resnet50, SimCLR's head": func() *encoder.Graph {
		return resnet(encoder.ResNetConfig{Depth: 50, CIFAR: true, Size: 33, Width: 0.125}, encoder.SimCLRHead)
	},
	"resnet18-cifar, MoCo v3's head": func() *encoder.Graph {
		return resnet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.125}, encoder.MoCoV3Head)
	},
	"resnet18-cifar, no head": func() *encoder.Graph {
		return resnet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.125}, encoder.NoHead)
	},
	"dim": func() *encoder.Graph {
		return encoder.InfoMax(encoder.InfoMaxConfig{Size: 32, Width: 0.125, Code: 64, Units: 32, Local: true, Normalize: cifar})
	},
	"amdim 32": func() *encoder.Graph {
		return encoder.AMDIM(encoder.AMDIMConfig{Size: 32, Width: 0.125, RKHS: 80, Depth: 2, Normalize: cifar})
	},
	"amdim 128": func() *encoder.Graph {
		return encoder.AMDIM(encoder.AMDIMConfig{Size: 128, Width: 0.0625, RKHS: 80, Depth: 1, Normalize: cifar})
	},
	"cpc": func() *encoder.Graph {
		return encoder.CPC(encoder.CPCConfig{Grid: 7, Patch: 8, Whole: true, Blocks: 1, Width: 0.25, Target: 64, Normalize: cifar})
	},
}

func resnet(c encoder.ResNetConfig, head encoder.HeadKind) *encoder.Graph {
	c.Normalize = cifar
	g := encoder.ResNet(c)
	g.AddHead(encoder.Head{Kind: head, Dim: 24})
	return g
}

// trained returns parameters whose running statistics are not those of the
// beginning: those of some noise. Branches that begin at zero get weights, or
// nothing of them would be compared.
func trained(t *testing.T, g *encoder.Graph) *encoder.Params {
	t.Helper()
	p := encoder.NewParams(g, 7)
	for i := range p.Data {
		p.Data[i] += 0.02 * float32(math.Sin(float64(i)))
	}
	p.Changed()
	arena := compile(t, g, p, encoder.Train)
	for range 3 {
		arena.Forward(pixels(g))
	}
	return p
}

const images = 3

func pixels(g *encoder.Graph) []byte {
	s := g.Inputs[0].Shape
	out := make([]byte, images*s.H*s.W*3)
	for i := range out {
		out[i] = byte(i * 7919 >> 3)
	}
	return out
}

func compile(t *testing.T, g *encoder.Graph, p *encoder.Params, mode encoder.Mode) *encoder.Arena {
	t.Helper()
	plan, err := encoder.Compile(g, encoder.Options{Batch: images, Mode: mode, Conv: kernel.Direct, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	pool := par.NewPool(2)
	t.Cleanup(pool.Close)
	return plan.Bind(p, pool).NewArena()
}

func outputs(g *encoder.Graph) map[string]string {
	out := map[string]string{"features": "features"}
	if _, ok := g.Find("projection"); ok {
		out["projection"] = "embedding"
	}
	return out
}

// TestAnotherRuntime runs the models in onnxruntime. CLPIPE_PYTHON names the
// interpreter if it is not python3.
func TestAnotherRuntime(t *testing.T) {
	python := os.Getenv("CLPIPE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import onnx, onnxruntime, numpy").Run(); err != nil {
		t.Skip("onnx and onnxruntime are not here: ", err)
	}
	for name, make := range networks {
		t.Run(name, func(t *testing.T) {
			g := make()
			p := trained(t, g)
			path := filepath.Join(t.TempDir(), "model.onnx")
			var model bytes.Buffer
			if err := Write(&model, Model{Graph: g, Params: p, Outputs: outputs(g), Metadata: map[string]string{"size": "32"}, Version: "test"}); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, model.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			run := exec.Command(python, filepath.Join("testdata", "run.py"), path)
			run.Stdin = bytes.NewReader(floats(planar(g)))
			var stderr strings.Builder
			run.Stderr = &stderr
			out, err := run.Output()
			if err != nil {
				t.Fatal(err, stderr.String())
			}
			arena := compile(t, g, p, encoder.Eval)
			arena.Forward(pixels(g))
			want := rows(t, g, arena, "projection") // "embedding" comes first by name
			want = append(want, rows(t, g, arena, "features")...)
			if len(out) != 4*len(want) {
				t.Fatalf("got %d bytes, want %d", len(out), 4*len(want))
			}
			largest, worst := 0.0, 0.0
			for i, w := range want {
				got := math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:]))
				largest = max(largest, math.Abs(float64(w)))
				worst = max(worst, math.Abs(float64(got-w)))
			}
			if !(worst <= 1e-5*largest) || largest == 0 {
				t.Errorf("differs by %g of %g", worst, largest)
			}
		})
	}
}

// planar returns the images as the model takes them.
func planar(g *encoder.Graph) []float32 {
	s, px := g.Inputs[0].Shape, pixels(g)
	var out []float32
	for n := range images {
		for c := range 3 {
			for i := range s.H * s.W {
				v := float32(px[(n*s.H*s.W+i)*3+c]) / 255
				out = append(out, (v-cifar.Mean[c])/cifar.Std[c])
			}
		}
	}
	return out
}

// rows returns an output's values, none if the network does not have it.
func rows(t *testing.T, g *encoder.Graph, arena *encoder.Arena, name string) []float32 {
	t.Helper()
	if _, ok := g.Find(name); !ok {
		return nil
	}
	r := arena.Output(name)
	var out []float32
	for i := range images {
		out = append(out, r.Row(i)...)
	}
	return out
}

// TestWhatIsWritten reads a model back field by field.
func TestWhatIsWritten(t *testing.T) {
	g := networks["resnet18-cifar, linear head"]()
	p := encoder.NewParams(g, 1)
	var b bytes.Buffer
	if err := Write(&b, Model{Graph: g, Params: p, Outputs: outputs(g), Metadata: map[string]string{"mean": "1 2 3"}, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	model := fields(t, b.Bytes())
	graph := fields(t, model[7][0])
	constants := map[string]bool{}
	for _, c := range graph[5] {
		f := fields(t, c)
		constants[string(f[8][0])] = true
	}
	for name := range p.State().Tensors {
		if counter := strings.HasSuffix(name, "num_batches_tracked"); constants[name] == counter {
			t.Errorf("%s: written %v, want %v", name, constants[name], !counter)
		}
	}
	var names []string
	for _, o := range append(graph[11], graph[12]...) {
		names = append(names, string(fields(t, o)[1][0]))
	}
	if want := []string{"input", "features", "embedding"}; !slices.Equal(names, want) {
		t.Errorf("input and outputs are %v, want %v", names, want)
	}
	known := map[string]bool{"input": true}
	for c := range constants {
		known[c] = true
	}
	for _, n := range graph[1] { // topological order, nothing used that is not made before
		f := fields(t, n)
		for _, in := range f[1] {
			if !known[string(in)] {
				t.Errorf("node %s: operand %s is not made before it", f[3][0], in)
			}
		}
		if known[string(f[2][0])] {
			t.Errorf("%s is made twice", f[2][0])
		}
		known[string(f[2][0])] = true
	}
	if meta := fields(t, model[14][0]); string(meta[1][0]) != "mean" || string(meta[2][0]) != "1 2 3" {
		t.Errorf("metadata %q", meta)
	}
}

// TestHeadIsLeftOut writes the features alone.
func TestHeadIsLeftOut(t *testing.T) {
	g := networks["resnet18-cifar, linear head"]()
	var b bytes.Buffer
	if err := Write(&b, Model{Graph: g, Params: encoder.NewParams(g, 1), Outputs: map[string]string{"features": "features"}}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("fc.weight")) {
		t.Error("the head is written, which no output needs")
	}
}

func TestRefusals(t *testing.T) {
	g := networks["dim"]()
	p := encoder.NewParams(g, 1)
	for want, c := range map[string]struct {
		outputs map[string]string
		w       *failing
	}{
		`no output "embedding"`:                    {map[string]string{"embedding": "embedding"}, nil},
		`local_net.norm: encoder.LayerNorm has no`: {map[string]string{"local": "local"}, nil},
		"disk full": {map[string]string{"features": "features"}, &failing{}},
	} {
		var err error
		if c.w != nil {
			err = Write(c.w, Model{Graph: g, Params: p, Outputs: c.outputs})
		} else {
			err = Write(&bytes.Buffer{}, Model{Graph: g, Params: p, Outputs: c.outputs})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

type failing struct{}

func (*failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// fields returns the length-delimited fields of a message by number.
func fields(t *testing.T, m []byte) map[protowire.Number][][]byte {
	t.Helper()
	out := map[protowire.Number][][]byte{}
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		m = m[n:]
		size := protowire.ConsumeFieldValue(number, kind, m)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		if kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(m)
			out[number] = append(out[number], v)
		}
		m = m[size:]
	}
	return out
}
