package main

import (
	"strings"
	"testing"
)

// TestNamesHideSecrets names several sources, the secrets of all of which stay
// unsaid.
func TestNamesHideSecrets(t *testing.T) {
	s := sourceFlags{src: []string{"https://user:secret@host/a.tar?token=secret", "s3://key:secret@bucket#secret", "set/train-*.tar"}}
	const want = "https://host/a.tar s3://bucket set/train-*.tar"
	if got := s.names(); got != want || strings.Contains(got, "secret") {
		t.Errorf("got %q, want %q", got, want)
	}
}
