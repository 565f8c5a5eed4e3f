package main

import (
	"strings"
	"testing"
)

func TestVerdicts(t *testing.T) {
	c := claim{name: "c", better: "a", worse: "b", also: func(better, worse outcome) (bool, string) { return worse.Loss < better.Loss, "with the lower loss" }}
	a := outcome{Variant: "a", Linear: 50, CI: [2]float64{49, 51}, Loss: 2}
	b := outcome{Variant: "b", Linear: 45, CI: [2]float64{44, 46}, Loss: 1}
	for _, test := range []struct {
		change func(a, b *outcome)
		shown  bool
		text   string
	}{
		{func(a, b *outcome) {}, true, "a 50.0 % is above b 45.0 %"},
		{func(a, b *outcome) { b.CI[1] = 49.5 }, false, "does not show at this scale"},
		{func(a, b *outcome) { b.Loss = 3 }, false, "and not: with the lower loss"},
		{func(a, b *outcome) { b.Left = "no such method" }, false, "not measured: no such method"},
	} {
		x, y := a, b
		test.change(&x, &y)
		if v := judge(c, []outcome{x, y}); v.Shown != test.shown || !strings.Contains(v.Text, test.text) {
			t.Errorf("%+v, want shown %v and %q", v, test.shown, test.text)
		}
	}
}

// What a claim compares is among its variants.
func TestClaimsNameTheirVariants(t *testing.T) {
	for _, c := range claims {
		names := map[string]bool{}
		for _, v := range c.variants {
			if names[v.name] {
				t.Errorf("%s: two variants are %q", c.name, v.name)
			}
			names[v.name] = true
		}
		if !names[c.better] || !names[c.worse] {
			t.Errorf("%s: %q or %q is no variant", c.name, c.better, c.worse)
		}
	}
}
