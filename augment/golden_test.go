package augment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"strings"
	"testing"

	"clpipe/internal/imagecodec"
)

// The expected bytes come from Pillow and torchvision: testdata/golden.py.

type goldenPicture struct{ W, H, Offset int }

type golden struct {
	Images map[string]goldenPicture
	Cases  []struct {
		goldenPicture
		Image string
		Op    json.RawMessage
	}
	Shifts []struct {
		goldenPicture
		Image  string
		DX, DY int
	}
	Elastic []struct {
		goldenPicture
		Image     string
		Amplitude float64
		Fill      [3]byte
		Bilinear  bool
	}
	Smoothed []struct {
		W, H  int
		Sigma float64
		Field []float64
	}
	Sequences []struct {
		goldenPicture
		Image string
		Ops   json.RawMessage
	}
	Areas []struct {
		goldenPicture
		Image         string
		Box           [4]int
		Scale         int
		Interpolation string
	}
	EveryColour []struct {
		Op     json.RawMessage
		SHA256 string
	} `json:"every_colour"`

	pixels []byte
}

func loadGolden(t testing.TB) *golden {
	t.Helper()
	g := &golden{}
	text, err := os.ReadFile("testdata/golden.json")
	if err == nil {
		err = json.Unmarshal(text, g)
	}
	if err == nil {
		g.pixels, err = os.ReadFile("testdata/golden.bin")
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *golden) picture(p goldenPicture) *imagecodec.Image {
	return &imagecodec.Image{W: p.W, H: p.H, Pix: g.pixels[p.Offset:][:3*p.W*p.H]}
}

// parseOps reads operators as they stand in a policy, but for the demand that
// the result be a square.
func parseOps(t testing.TB, ops string) []step {
	t.Helper()
	f := &policyFile{name: "ops"}
	root, err := f.decode([]byte("anchor: " + ops + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	steps := f.steps("anchor", entry(root, "anchor"), 0, &strings.Builder{})
	if len(f.problems) > 0 {
		t.Fatal(f.problems)
	}
	return fuse(steps)
}

// runSteps returns what steps make of img, rows packed.
func runSteps(t testing.TB, steps []step, img *imagecodec.Image) *imagecodec.Image {
	t.Helper()
	source, err := newRaster(img)
	if err != nil {
		t.Fatal(err)
	}
	s := &Scratch{held: callersImage}
	out, err := run(steps, source, SampleKey{ID: "golden"}, 1, viewAnchor, s)
	if err != nil {
		t.Fatal(err)
	}
	return packed(out)
}

func packed(im raster) *imagecodec.Image {
	out := &imagecodec.Image{W: im.w, H: im.h}
	for y := range im.h {
		out.Pix = append(out.Pix, im.row(y)...)
	}
	return out
}

func compare(t testing.TB, got, want *imagecodec.Image) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Fatalf("got %dx%d, want %dx%d", got.W, got.H, want.W, want.H)
	}
	different, first := 0, -1
	for i := range want.Pix {
		if got.Pix[i] != want.Pix[i] {
			if different++; first < 0 {
				first = i
			}
		}
	}
	if different > 0 {
		x, y, c := first/3%want.W, first/3/want.W, first%3
		t.Errorf("%d of %d bytes differ, first at x %d y %d channel %d: got %d, want %d",
			different, len(want.Pix), x, y, c, got.Pix[first], want.Pix[first])
	}
}

func TestOperatorsGivePillowsBytes(t *testing.T) {
	g := loadGolden(t)
	for _, c := range g.Cases {
		t.Run(fmt.Sprintf("%s/%s", c.Image, c.Op), func(t *testing.T) {
			source := g.picture(g.Images[c.Image])
			before := bytes.Clone(source.Pix)
			compare(t, runSteps(t, parseOps(t, "["+string(c.Op)+"]"), source), g.picture(c.goldenPicture))
			if !bytes.Equal(source.Pix, before) {
				t.Error("the source image was overwritten")
			}
		})
	}
}

func TestSequencesGivePillowsBytes(t *testing.T) {
	g := loadGolden(t)
	for _, c := range g.Sequences {
		t.Run(fmt.Sprintf("%s/%s", c.Image, c.Ops), func(t *testing.T) {
			compare(t, runSteps(t, parseOps(t, string(c.Ops)), g.picture(g.Images[c.Image])), g.picture(c.goldenPicture))
		})
	}
}

// Boxes of a picture decoded at a smaller scale, whose edges lie inside pixels.
func TestAreasGivePillowsBytes(t *testing.T) {
	g := loadGolden(t)
	if len(g.Areas) == 0 {
		t.Fatal("golden.json has no areas")
	}
	for _, c := range g.Areas {
		t.Run(fmt.Sprintf("%s/%v/%d", c.Image, c.Box, c.Scale), func(t *testing.T) {
			img := *g.picture(g.Images[c.Image])
			img.Scale, img.FullW, img.FullH = c.Scale, c.Scale*img.W-1, c.Scale*img.H-1
			source, err := newRaster(&img)
			if err != nil {
				t.Fatal(err)
			}
			op := &randomResizedCrop{size: extent{c.H, c.W}}
			for _, f := range filters {
				if f.name == c.Interpolation {
					op.filter = f
				}
			}
			s := &Scratch{held: callersImage}
			got, err := op.resize(source, image.Rect(c.Box[0], c.Box[1], c.Box[2], c.Box[3]), s)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, packed(got), g.picture(c.goldenPicture))
		})
	}
}

func TestTranslateMirrorsWithoutEdge(t *testing.T) {
	g := loadGolden(t)
	for _, c := range g.Shifts {
		t.Run(fmt.Sprintf("%s/%d,%d", c.Image, c.DX, c.DY), func(t *testing.T) {
			source, err := newRaster(g.picture(g.Images[c.Image]))
			if err != nil {
				t.Fatal(err)
			}
			s := &Scratch{held: callersImage}
			compare(t, packed(s.translate(source, c.DX, c.DY)), g.picture(c.goldenPicture))
		})
	}
}

// testNoise is noise of golden.py.
func testNoise(n, offset int, amplitude float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(amplitude * (float64(uint32(i+offset)*2654435761)/(1<<31) - 1))
	}
	return out
}

// A byte may differ by one where PyTorch's sum, whose order is its own, lies on
// the other side of a half: at most one in a thousand. None does.
func TestElasticTransformGivesTorchvisionsBytes(t *testing.T) {
	g := loadGolden(t)
	for _, c := range g.Elastic {
		t.Run(fmt.Sprintf("%s/%v/%v", c.Image, c.Amplitude, c.Bilinear), func(t *testing.T) {
			source, err := newRaster(g.picture(g.Images[c.Image]))
			if err != nil {
				t.Fatal(err)
			}
			n := source.w * source.h
			s := &Scratch{held: callersImage}
			got := packed(s.displace(source, testNoise(n, 1, c.Amplitude), testNoise(n, 7000, c.Amplitude), affineSampling{c.Bilinear, c.Fill}))
			want, different := g.picture(c.goldenPicture), 0
			for i, w := range want.Pix {
				if d := int(got.Pix[i]) - int(w); d != 0 {
					different++
					if d < -1 || d > 1 {
						t.Fatalf("byte %d: got %d, want %d", i, got.Pix[i], w)
					}
				}
			}
			if different*1000 > len(want.Pix) {
				t.Errorf("%d of %d bytes differ by one", different, len(want.Pix))
			}
		})
	}
}

func TestDisplacementsAreSmoothedAsByTorchvision(t *testing.T) {
	for _, c := range loadGolden(t).Smoothed {
		field := testNoise(c.W*c.H, 3, 1)
		new(Scratch).smooth(field, c.W, c.H, c.Sigma)
		for i, want := range c.Field {
			if math.Abs(float64(field[i])-want) > 1e-6 {
				t.Fatalf("%dx%d, sigma %v: number %d is %v, want %v", c.W, c.H, c.Sigma, i, field[i], want)
			}
		}
	}
}

// TestEveryColour runs all 2^24 colours through the operators that mix channels.
func TestEveryColour(t *testing.T) {
	if testing.Short() {
		t.Skip("16 million pixels a case")
	}
	const side = 4096
	pix := make([]byte, 3*side*side)
	for n := range side * side {
		pix[3*n], pix[3*n+1], pix[3*n+2] = byte(n>>16), byte(n>>8), byte(n)
	}
	for _, c := range loadGolden(t).EveryColour {
		t.Run(string(c.Op), func(t *testing.T) {
			got := runSteps(t, parseOps(t, "["+string(c.Op)+"]"), &imagecodec.Image{W: side, H: side, Pix: pix})
			if sum := sha256.Sum256(got.Pix); hex.EncodeToString(sum[:]) != c.SHA256 {
				t.Errorf("got SHA-256 %x, want %s", sum, c.SHA256)
			}
		})
	}
}
