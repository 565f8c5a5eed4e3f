package augment_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/augment"
)

// Each pair is a policy that is taken and the same with one fault.
func TestParseNamesTheFault(t *testing.T) {
	const rrc = "random_resized_crop"
	for _, c := range []struct {
		good, bad string
		size      int
		want      string // after "augment: policy p.yaml: "
	}{
		{"both:\n- {op: grayscale}", "both:\n- {op: greyscale}", 32,
			`line 2: both: operator 1: got op "greyscale", want {op: NAME} with one of affine, brightness, center_crop,`},
		{"both:\n- {op: grayscale}", "both:\n- {p: 1}", 32, `line 2: both: operator 1: got a mapping without op`},
		{"both:\n- {op: grayscale}", "both:\n- grayscale", 32, `line 2: both: operator 1: got "grayscale" without op`},
		{"both: [{op: grayscale, p: 0.5}]", "both: [{op: grayscale, p: 1.5}]", 32, `line 1: grayscale: p: got 1.5, want a number in [0, 1]`},
		{"both: [{op: grayscale, p: 1}]", "both: [{op: grayscale, p: often}]", 32, `line 1: grayscale: p: got "often", want a number in [0, 1]`},
		{"both: [{op: grayscale, p: 0}]", "both: [{op: grayscale, p: .nan}]", 32, `line 1: grayscale: p: got .nan, want a number in [0, 1]`},
		{"both: [{op: grayscale, p: 1}]", "both: [{op: grayscale, prob: 1}]", 32, `line 1: grayscale: unknown argument "prob", want one of op, p`},
		{"both: [{op: grayscale, p: 1}]", "both: [{op: grayscale, p: 1, p: 1}]", 32, `line 1: "p" comes twice`},
		{"both: [{op: " + rrc + ", scale: [0.2, 1]}]", "both: [{op: " + rrc + ", scale: [0.2, 1.4]}]", 32,
			`line 1: random_resized_crop: scale: got [0.2, 1.4], want a number or [low, high] in (0, 1]`},
		{"both: [{op: " + rrc + ", scale: 0.5}]", "both: [{op: " + rrc + ", scale: [0.5, 0.2]}]", 32, `line 1: random_resized_crop: scale: got [0.5, 0.2], want`},
		{"both: [{op: " + rrc + ", scale: 0.5}]", "both: [{op: " + rrc + ", scale: 0}]", 32, `line 1: random_resized_crop: scale: got 0, want`},
		{"both: [{op: " + rrc + ", ratio: 1}]", "both: [{op: " + rrc + ", ratio: {}}]", 32, `line 1: random_resized_crop: ratio: got a mapping, want`},
		{"both: [{op: " + rrc + "}]", "both: [{op: " + rrc + ", interpolation: nearest}]", 32, `line 1: random_resized_crop: interpolation: got "nearest", want bilinear or bicubic`},
		{"both: [{op: " + rrc + ", size: 32}]", "both: [{op: " + rrc + ", size: 32.5}]", 32, `line 1: random_resized_crop: size: got 32.5, want a whole number or [height, width] in [1, 8192]`},
		{"both: [{op: " + rrc + ", size: 32}]", "both: [{op: " + rrc + ", size: 224}]", 32, `line 1: anchor: the policy makes views of 224 pixels, but --size is 32`},
		{"both: [{op: " + rrc + ", size: 32}]", "both: [{op: " + rrc + "}]", 0, `line 1: random_resized_crop: size: missing: neither the policy nor --size tells the side of a view`},
		{"both: [{op: " + rrc + ", size: [9, 9]}]", "both: [{op: " + rrc + ", size: [9, 8]}]", 0, `line 1: anchor: got a view of 8x9, want a square`},
		{"anchor: [{op: center_crop, size: 8}]\npositive: [{op: center_crop, size: 8}]", "anchor: [{op: center_crop, size: 8}]\npositive: [{op: center_crop, size: 9}]", 0,
			`line 1: positive: got views of 9 pixels, want 8 as the anchor`},
		{"both: [{op: center_crop, size: 8}]", "both: [{op: grayscale}]", 0, `line 1: size: missing:`},
		{"both: [{op: brightness, factor: 0.5}]", "both: [{op: brightness}]", 32, `line 1: brightness: factor: missing, want a number in [0, 1e+06]`},
		{"both: [{op: hue, factor: -0.5}]", "both: [{op: hue, factor: -0.51}]", 32, `line 1: hue: factor: got -0.51, want a number in [-0.5, 0.5]`},
		{"both: [{op: color_jitter, hue: 0.5}]", "both: [{op: color_jitter, hue: 0.6}]", 32, `line 1: color_jitter: hue: got 0.6, want a number in [0, 0.5] or [low, high] in [-0.5, 0.5]`},
		{"both: [{op: color_jitter, contrast: [0, 2]}]", "both: [{op: color_jitter, contrast: [-1, 2]}]", 32, `line 1: color_jitter: contrast: got [-1, 2], want`},
		{"both: [{op: color_jitter, brightness: 0.4}]", "both: [{op: color_jitter, brightness: -0.4}]", 32, `line 1: color_jitter: brightness: got -0.4, want`},
		{"both: [{op: crop, box: [0, 0, 8, 8]}]", "both: [{op: crop, box: [0, 0, 8]}]", 0, `line 1: crop: box: got [0, 0, 8], want [left, top, width, height], sides in [1, 8192]`},
		{"both: [{op: crop, box: [0, 0, 8, 8]}]", "both: [{op: crop}]", 8, `line 1: crop: box: missing`},
		{"both: [{op: crop, box: [0, 0, 8, 8]}]", "both: [{op: crop, box: [0, 0, 8, 9]}]", 0, `line 1: anchor: got a view of 8x9, want a square`},
		{"both: [{op: gaussian_blur, kind: torchvision, kernel: 5}]", "both: [{op: gaussian_blur, kind: torchvision, kernel: 4}]", 32, `line 1: gaussian_blur: kernel: got 4, want an odd number`},
		{"both: [{op: gaussian_blur, sigma: 1}]", "both: [{op: gaussian_blur, kernel: 5}]", 32, `line 1: gaussian_blur: unknown argument "kernel", want one of op, kind, sigma, p`},
		{"both: [{op: gaussian_blur, sigma: 1}]", "both: [{op: gaussian_blur, sigma: 0}]", 32, `line 1: gaussian_blur: sigma: got 0, want a number or [low, high] in (0, 100]`},
		{"both: [{op: random_crop, pad_if_needed: true}]", "both: [{op: random_crop, pad_if_needed: 1}]", 32, `line 1: random_crop: pad_if_needed: got 1, want true or false`},
		{"both: [{op: resize, crop_pct: 0.875}]", "both: [{op: resize, crop_pct: 0.875, size: 9}]", 32, `line 1: resize: crop_pct: stands beside size, want either`},
		{"name: a\nboth: []", "name: [a]\nboth: []", 32, `line 1: name: got ["a"], want a word`},
		{"both: []", "both:", 32, `line 1: both: got nothing, want a list of operators`},
		{"shared:\nboth: []", "shared: 1\nboth: []", 32, `line 1: shared: got 1, want a list of operators`},
		{"both: []", "name: x", 32, `line 1: neither both nor anchor is there`},
		{"anchor: []\npositive: []", "positive: []", 32, `line 1: neither both nor anchor is there`},
		{"both: []", "both: []\nanchor: []", 32, `line 1: both: stands beside anchor or positive`},
		{"both: []", "both: []\nother: []", 32, `line 2: unknown section "other", want one of name, shared, both,`},
		{"anchor: []", "anchor: []\npatches: {size: 8, stride: 0, ops: []}", 32, `line 2: patches: got a size of 8 and a stride of 0, want both from 1 on`},
		{"anchor: []\npatches: {size: 8, stride: 4, ops: []}", "anchor: []\npatches: {size: 33, ops: []}", 32, `line 2: patches: got a size of 33 and a stride of 16, want both from 1 on and patches inside a view of 32`},
		{"anchor: []\npatches: {}", "anchor: []\npatches: []", 32, `line 2: patches: got [], want size, stride and ops`},
		{"anchor: []\npatches: {size: 8}", "anchor: []\npatches: {side: 8}", 32, `line 2: patches: unknown "side", want size, stride, ops`},
		{"anchor: []\npatches: {size: 8}", "anchor: []\npatches: {size: a}", 32, `line 2: patches: size: got "a", want a number of pixels`},
		{"patches: {size: 4096, stride: 4096}", "patches: {size: 4096, stride: 1}", 8192, `line 1: patches: 4097 x 4097 patches of 4096 x 4096 pixels are more than`},
		{"anchor: [{op: sub_crop, margin: 3}]", "anchor: [{op: sub_crop, margin: [3, 2]}]", 32, `line 1: sub_crop: margin: got [3, 2], want a whole number or [low, high] in [0, 8192]`},
		{"both: [{op: color_jitter, strength: 2}]", "both: [{op: color_jitter, strength: -1}]", 32, `line 1: color_jitter: strength: got -1, want a number in [0, 10]`},
		{"anchor: []\npatches: {size: 8}", "both: []\npatches: {size: 8}", 32, `line 2: patches: want an anchor alone`},
		{"both: [{op: affine, shear: 5}]", "both: [{op: affine, shear: [5, 90]}]", 32, `line 1: affine: shear: got [5, 90], want a number or a list of 2 in [-89, 89]`},
		{"both: [{op: affine, translate: [-5, 5]}]", "both: [{op: affine, translate: 5}]", 32, `line 1: affine: translate: got 5, want a list of 2 whole numbers in [-8192, 8192]`},
		{"both: [{op: affine, fill: 255}]", "both: [{op: affine, fill: [0, 0, 256]}]", 32, `line 1: affine: fill: got [0, 0, 256], want a whole number or [red, green, blue] in [0, 255]`},
		{"both: [{op: affine, scale: 2}]", "both: [{op: affine, scale: 0}]", 32, `line 1: affine: scale: got 0, want a number in [0.01, 100]`},
		{"both: [{op: random_affine, degrees: 0}]", "both: [{op: random_affine}]", 32, `line 1: random_affine: degrees: missing, want a number in [0, 360] or [low, high] in [-360, 360]`},
		{"both: [{op: random_affine, degrees: [-5, 30]}]", "both: [{op: random_affine, degrees: -5}]", 32, `line 1: random_affine: degrees: got -5, want a number in [0, 360]`},
		{"both: [{op: random_affine, degrees: 1, shear: [-5, 5, 0, 9]}]", "both: [{op: random_affine, degrees: 1, shear: [-5, 5, 0]}]", 32, `line 1: random_affine: shear: got [-5, 5, 0], want a number, [low, high] along x or [low, high, low, high] along x and y, all in [-89, 89]`},
		{"both: [{op: random_affine, degrees: 1, translate: [0.1, 0]}]", "both: [{op: random_affine, degrees: 1, translate: [0.1, 2]}]", 32, `line 1: random_affine: translate: got [0.1, 2], want a number or a list of 2 in [0, 1]`},
		{"both: [{op: elastic_transform, alpha: [9, 3]}]", "both: [{op: elastic_transform, alpha: -1}]", 32, `line 1: elastic_transform: alpha: got -1, want`},
		{"both: [{op: elastic_transform, interpolation: nearest}]", "both: [{op: elastic_transform, interpolation: bicubic}]", 32, `line 1: elastic_transform: interpolation: got "bicubic", want nearest or bilinear`},
		{"anchor: []\npatches: {size: 8, ops: [{op: sub_crop, margin: 1}]}", "anchor: []\npatches: {size: 8, ops: [{op: center_crop, size: 7}]}", 32, `line 2: patches: got patches of 7x7, want 8`},
		{"both: []", "both: &a []\nshared: *a", 32, `line 2: aliases are not supported`},
		{"both: []", "both: []\n1: 2", 32, `line 2: got 1 as a key, want a word`},
		{"both: []", "[]", 32, `got [], want a mapping`},
		{"both: []", "", 32, `empty`},
		{"both: []", "both: []\n---\nboth: []", 32, `more than one document`},
		{"both: []", "both: [", 32, `yaml: line 1:`},
		{"both: []", "both: []", -1, `size: got -1, want a number in [0, 8192]`},
	} {
		size := c.size
		if size < 0 {
			size = 32
		}
		if _, err := augment.Parse("p.yaml", []byte(c.good), size); err != nil {
			t.Errorf("%s\ngot %v, want no error", c.good, err)
		}
		_, err := augment.Parse("p.yaml", []byte(c.bad), c.size)
		if want := "augment: policy p.yaml: " + c.want; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.bad, err, want)
		}
	}
}

func TestParseReportsAllFaults(t *testing.T) {
	_, err := augment.Parse("p.yaml", []byte("both:\n- {op: grayscale, p: 2}\n- {op: blur}\n- {op: hue, factor: 9}\n"), 32)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three problems", err)
	}
}

func TestParseFillsTheSize(t *testing.T) {
	for _, c := range []struct {
		text       string
		size, want int
	}{
		{"both: [{op: random_resized_crop}]", 48, 48},
		{"both: [{op: random_resized_crop, size: 48}]", 0, 48},
		{"both: [{op: random_resized_crop, size: 48}]", 48, 48},
		{"both: [{op: resize, size: 64}, {op: center_crop, size: 48}]", 48, 48},
		{"both: [{op: resize, size: 64}, {op: center_crop}]", 48, 48},
		{"both: [{op: resize}, {op: center_crop, size: 48}]", 0, 48},
		{"shared: [{op: random_crop, size: 48}]\nboth: [{op: grayscale}]", 0, 48},
		{"both: [{op: translate_reflect}]", 48, 48},
		{"both: [{op: crop, box: [3, 4, 48, 48]}]", 0, 48},
	} {
		if p := parse(t, c.text, c.size); p.Size() != c.want {
			t.Errorf("%s: got %d, want %d", c.text, p.Size(), c.want)
		}
	}
}

func TestBuiltinTakesTheSmallFormUpTo96(t *testing.T) {
	for size, blurred := range map[int]bool{32: false, 96: false, 97: true, 224: true} {
		if got := strings.Contains(builtin(t, "simclr", size).String(), "gaussian_blur"); got != blurred {
			t.Errorf("simclr at %d: blur %v, want %v", size, got, blurred)
		}
	}
	for size, op := range map[int]string{32: "translate_reflect", 48: "translate_reflect", 49: "random_resized_crop", 224: "random_resized_crop"} {
		if got := builtin(t, "amdim", size).String(); !strings.Contains(got, op) {
			t.Errorf("amdim at %d: got %s, want %s", size, got, op)
		}
	}
	for size, shape := range map[int][]int{32: {7, 7, 8, 8, 3}, 64: {7, 7, 16, 16, 3}, 256: {7, 7, 64, 64, 3}, 224: {7, 7, 56, 56, 3}} {
		if got := builtin(t, "cpc", size).Shape(); !slices.Equal(got, shape) {
			t.Errorf("cpc at %d: got %v, want %v", size, got, shape)
		}
	}
	if got := builtin(t, "simclr", 224).String(); !strings.Contains(got, `"kernel":23`) {
		t.Errorf("got %s, want a kernel of 23", got)
	}
	if _, err := augment.Builtin("moco", 32); err == nil || !strings.Contains(err.Error(), `policy "moco": not built in, want one of `) {
		t.Errorf("got %v", err)
	}
	if _, err := augment.Builtin("moco-v1", 0); err == nil {
		t.Error("got no error for size 0")
	}
}

// simclr's jitter is brightness, contrast and saturation .8S, hue .2S.
func TestStrengthScalesTheJitter(t *testing.T) {
	jitter := func(name string, size int) string {
		_, rest, _ := strings.Cut(builtin(t, name, size).String(), `"op":"color_jitter",`)
		text, _, _ := strings.Cut(rest, "}")
		return text
	}
	for name, want := range map[string]string{
		"simclr":      `"brightness":[0.6,1.4],"contrast":[0.6,1.4],"saturation":[0.6,1.4],"hue":[-0.1,0.1],"p":0.8`,
		"simclr:0.25": `"brightness":[0.8,1.2],"contrast":[0.8,1.2],"saturation":[0.8,1.2],"hue":[-0.05,0.05],"p":0.8`,
		"simclr:0":    `"brightness":[1,1],"contrast":[1,1],"saturation":[1,1],"hue":[0,0],"p":0.8`,
		"simclr:2":    `"brightness":[0,2.6],"contrast":[0,2.6],"saturation":[0,2.6],"hue":[-0.4,0.4],"p":0.8`,
	} {
		if got := jitter(name, 32); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, want)
		}
	}
	if got, want := jitter("simclr", 224), jitter("simclr:1", 32); got != want {
		t.Errorf("at 224: got %s, want %s", got, want)
	}
	for name, want := range map[string]string{
		"simclr:":     `policy simclr: colour strength: got "", want a number in [0, 10]`,
		"simclr:11":   `policy simclr: colour strength: got "11", want a number in [0, 10]`,
		"simclr:nan":  `policy simclr: colour strength: got "nan", want`,
		"simclr:3":    `policy simclr: line 7: color_jitter: hue: got 0.2, want a number in [0, 0.5]`,
		"moco-v2:0.5": `policy moco-v2: its colour jitter has no strength that could be set`,
	} {
		if _, err := augment.Load(name, 32); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

func TestLoadTakesNamesAndPaths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("both: [{op: center_crop, size: 8}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := augment.Load(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"mine","both":[{"op":"center_crop","size":8,"p":1}]}`; p.String() != want {
		t.Errorf("got %s, want %s", p, want)
	}
	if p, err = augment.Load("moco-cifar", 32); err != nil || p.Views() != 2 {
		t.Errorf("got %v, %v", p, err)
	}
	if p, err = augment.Load("none", 32); err != nil || p.Views() != 1 {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err = augment.Load("absent.yaml", 32); err == nil || !strings.Contains(err.Error(), `"absent.yaml": no such file, and not built in`) {
		t.Errorf("got %v", err)
	}
}
