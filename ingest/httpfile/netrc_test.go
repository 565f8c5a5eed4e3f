package httpfile

import "testing"

func TestNetrc(t *testing.T) {
	n := parseNetrc(`# machine commented login x password y
machine one login ann password "with \"quotes\" and \\"
macdef init
machine macro login m password m

machine
	Two
	password only
machine one login second password second
default login anonymous password me@`)
	for host, want := range map[string]login{
		"one":   {"ann", `with "quotes" and \`},
		"TWO":   {"", "only"},
		"macro": {"anonymous", "me@"},
		"three": {"anonymous", "me@"},
	} {
		if got, ok := n.of(host); !ok || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", host, got, ok, want)
		}
	}
	if _, ok := parseNetrc("machine a login b password c").of("b"); ok {
		t.Error("a host without an entry has a login")
	}
	for _, text := range []string{"", "machine", "login x", "machine a login", `machine a password "open`} {
		parseNetrc(text)
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password \"c\\\"\"\nmacdef x\n\ndefault login d")
	f.Fuzz(func(t *testing.T, text string) { parseNetrc(text).of("a") })
}
