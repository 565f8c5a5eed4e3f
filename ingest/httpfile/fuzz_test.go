package httpfile

import (
	"errors"
	"strings"
	"testing"

	"clpipe/ingest/shard"
)

func FuzzParse(f *testing.F) {
	for _, source := range []string{"https://h/a.tar", "http://u:p@h:1/d/t-{0..2}.tar?q", "https://h/{a,b/c}.tar#x", "http://h/%41%zz", "http://%/a"} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 200 || strings.Count(source, "..") > 1 {
			t.Skip("long to expand")
		}
		files, err := parse(source)
		if pattern := (*shard.PatternError)(nil); err != nil && !errors.As(err, &pattern) {
			t.Errorf("%q: got %v, want a *PatternError", source, err)
		}
		for _, file := range files {
			if file.name == "" || file.url.Host == "" || strings.Contains(file.where(), "?") {
				t.Errorf("%q: got %q of %q at %q", source, file.name, file.url.Host, file.where())
			}
		}
	})
}
