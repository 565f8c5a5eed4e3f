package parquetshard

import "testing"

// TestMissingLevels cuts runs short, and holds them to a bound.
func TestMissingLevels(t *testing.T) {
	runs := []byte{
		5 << 1, 1, // five times 1
		2<<1 | 1, 0x55, 0x55, 0x55, 0x55, // twice eight of two bits
		3 << 1, 2,
	}
	for _, c := range []struct {
		runs       []byte
		want, have int64
	}{
		{runs, 24, 24},
		{runs, 25, 24},
		{runs, 7, 7},
		{runs, 0, 0},
		{runs[:2], 6, 5},
		{runs[:6], 18, 17}, // the packed run is cut
		{runs[:3], 6, 5},
		{nil, 1, 0},
	} {
		if n, err := checkRuns(c.runs, 2, c.want, 3); n != c.have || err != nil {
			t.Errorf("% x: %d: got %d, %v, want %d", c.runs, c.want, n, err, c.have)
		}
	}
	for _, damaged := range [][]byte{
		runs[:1],
		{0, 1},    // a run of none
		{1, 1},    // likewise, packed
		{0x80, 1}, // cut off behind its length
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1}, // longer than a page
		{5 << 1, 3},            // a number that cannot be
		{1<<1 | 1, 0, 0xc0},    // likewise, packed, the last of eight
		{1<<1 | 1, 0xff, 0xff}, // of all
	} {
		if n, err := checkRuns(damaged, 2, 8, 3); err == nil {
			t.Errorf("% x: got %d and no error", damaged, n)
		}
	}
	if n, err := checkRuns([]byte{1<<1 | 1, 0, 0xc0}, 2, 7, 3); n != 7 || err != nil {
		t.Errorf("what fills a run up is no number: got %d, %v", n, err)
	}
	if n, err := checkRuns([]byte{3<<1 | 1}, 0, 24, 1); n != 24 || err != nil { // a dictionary of one entry
		t.Errorf("numbers of no bits: got %d, %v, want 24", n, err)
	}
}

func TestMissingDeltas(t *testing.T) {
	one := []byte{8, 1, 10, 2, 0, 3, 1, 2, 3, 4, 2, 5, 6} // ten in blocks of eight, of three and two bits a difference
	for n := range one {
		if _, _, err := passDeltas(one[:n]); err == nil {
			t.Errorf("%d of %d bytes: got no error", n, len(one))
		}
	}
	if n, rest, err := passDeltas(append(one, 9)); n != 10 || len(rest) != 1 || err != nil {
		t.Errorf("got %d values, % x behind them, %v, want 10 and 09", n, rest, err)
	}
	for _, lie := range [][]byte{
		{0, 1, 1, 0},                            // blocks of none
		{8, 0, 1, 0},                            // of no parts
		{8, 3, 1, 0},                            // of parts of other lengths
		{8, 8, 1, 0},                            // of bits that fill no byte
		{0x80, 0x80, 0x80, 0x80, 0x10, 1, 1, 0}, // too long
		{8, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0}, // more than a page can have
	} {
		if _, _, err := passDeltas(lie); err == nil {
			t.Errorf("% x: got no error", lie)
		}
	}
	if n, rest, err := passDeltas([]byte{8, 1, 0, 0}); n != 0 || len(rest) != 0 || err != nil {
		t.Errorf("of none: got %d, % x, %v", n, rest, err)
	}
}
