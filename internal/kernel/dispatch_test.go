package kernel

import (
	"slices"
	"strings"
	"testing"
)

func TestVariantsBeginWithGeneric(t *testing.T) {
	names := Variants()
	if len(names) == 0 || names[0] != "generic" {
		t.Fatalf("got %q, want generic first", names)
	}
	if !slices.Contains(names, Selected()) {
		t.Errorf("selected: got %q, want one of %q", Selected(), names)
	}
}

func TestSelectRefusesUnknown(t *testing.T) {
	was := Selected()
	err := Select("sse9")
	if err == nil {
		t.Fatal("got no error for sse9")
	}
	for _, part := range []string{"kernel: select", `"sse9"`, strings.Join(Variants(), ", ")} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
	if Selected() != was {
		t.Errorf("selected after the error: got %q, want %q", Selected(), was)
	}
}

func TestInitialFallsBackToFastest(t *testing.T) {
	names := Variants()
	fastest := names[len(names)-1]
	for name, want := range map[string]string{"": fastest, "sse9": fastest, "generic": "generic"} {
		if got := initial(name).name; got != want {
			t.Errorf("initial(%q): got %q, want %q", name, got, want)
		}
	}
}

func TestFMALoopCountsOperations(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		one, many := FMALoop(1), FMALoop(5000)
		if one <= 0 || many != 5000*one {
			t.Errorf("got %d operations for one round and %d for 5000", one, many)
		}
	})
}
