package shard

import (
	"bytes"
	"testing"
)

func TestPlaceOfAPart(t *testing.T) {
	whole := make([]byte, 30)
	s := Stored{Bytes: whole[10:20], At: 1000}
	for _, c := range []struct {
		name string
		part []byte
		want int64
	}{
		{"the run", whole[10:20], 1000},
		{"its end", whole[19:20], 1009},
		{"bytes in it", whole[12:15:15], 1002},
		{"begins before it", whole[9:12], -1},
		{"ends behind it", whole[15:21], -1},
		{"longer than it", whole, -1},
		{"lies behind it", whole[20:21], -1},
		{"a copy", bytes.Clone(whole[10:12]), -1},
		{"nothing", whole[12:12], -1},
		{"nil", nil, -1},
	} {
		if got := s.Place(c.part); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
	if got := (Stored{}).Place(whole); got != -1 {
		t.Errorf("of no run: got %d", got)
	}
}
