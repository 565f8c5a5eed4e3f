package httpfile

import (
	"net/url"
	"testing"
)

func TestSameServer(t *testing.T) {
	for _, c := range []struct {
		before, now string
		want        bool
	}{
		{"https://host/a", "https://host:443/b", true},
		{"http://host/a", "https://host/b", true},
		{"https://host/a", "http://host/b", false},
		{"https://host/a", "https://mirror.host/a", false},
		{"http://host:8080/a", "http://host:8081/a", false},
		{"http://host:8080/a", "https://host/a", false},
	} {
		before, err1 := url.Parse(c.before)
		now, err2 := url.Parse(c.now)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got := sameServer(before, now); got != c.want {
			t.Errorf("%s to %s: got %v, want %v", c.before, c.now, got, c.want)
		}
	}
}
