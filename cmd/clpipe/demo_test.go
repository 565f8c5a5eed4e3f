package main

import "testing"

func TestShellLine(t *testing.T) {
	for want, args := range map[string][]string{
		`--src 's3shards/train-*.tar' --lr 0.06`: {"--src", "s3shards/train-*.tar", "--lr", "0.06"},
		`'' 'a b' 'it'\''s' '$HOME' '~'`:         {"", "a b", "it's", "$HOME", "~"},
		`./a_b,c=d/%06d.tar`:                     {"./a_b,c=d/%06d.tar"},
		``:                                       nil,
	} {
		if got := shellLine(args); got != want {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}
