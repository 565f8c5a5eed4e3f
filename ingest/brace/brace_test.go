package brace

import (
	"slices"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	cases := []struct {
		pattern string
		want    string // paths, or the error
	}{
		{"train.tar", "train.tar"},
		{"t-{8..11}.tar", "t-8.tar t-9.tar t-10.tar t-11.tar"},
		{"t-{008..011}", "t-008 t-009 t-010 t-011"},
		{"{3..1}", "3 2 1"},
		{"{9..010}", "009 010"},
		{"{7..7}", "7"},
		{"{a,b}/{0..1}", "a/0 a/1 b/0 b/1"},
		{"{train-{0..1},val}.tar", "train-0.tar train-1.tar val.tar"},
		{"{a,}x", "ax x"},
		{"{a", "a { without its }"},
		{"a}", "a } without its {"},
		{"{a,b}}", "a } without its {"},
		{"{a}", "want {FROM..TO} of two numbers, or {A,B}"},
		{"{}", "want {FROM..TO}"},
		{"{1..}", "want {FROM..TO}"},
		{"{-1..2}", "want {FROM..TO}"},
		{"{0..18446744073709551615}", "want {FROM..TO}"},
		{"{0..100}", "stands for more than 100 paths"},
		{"{9223372036854775807..0}", "stands for more than 100 paths"},
		{"{0..10}{0..10}", "stands for more than 100 paths"},
	}
	for _, c := range cases {
		paths, err := Expand(c.pattern, 100)
		got := strings.Join(paths, " ")
		if err != nil {
			if got = err.Error(); strings.Contains(got, c.want) {
				continue
			}
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.pattern, got, c.want)
		}
	}
}

// FuzzExpandBraces checks that what a pattern stands for is bounded and free of
// braces, and that a pattern without any stands for itself.
func FuzzExpandBraces(f *testing.F) {
	for _, seed := range []string{"a", "{a,b}", "t-{000..012}.tar", "{{a,b},c}{1..3}", "{", "}", "{5..1}", "{,,,}", "{a..b}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if len(pattern) > 200 {
			return
		}
		paths, err := Expand(pattern, 64)
		if err != nil {
			return
		}
		if len(paths) == 0 || len(paths) > 64 {
			t.Fatalf("%q stands for %d paths, want 1 to 64", pattern, len(paths))
		}
		if !strings.ContainsAny(pattern, "{}") && !slices.Equal(paths, []string{pattern}) {
			t.Fatalf("%q stands for %q, want itself", pattern, paths)
		}
		for _, p := range paths {
			if strings.ContainsAny(p, "{}") {
				t.Fatalf("%q stands for %q, which has braces", pattern, p)
			}
		}
	})
}
