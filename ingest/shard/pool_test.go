package shard

import "testing"

// TestImagesFitInTheMemoryOfOthers checks every size around the steps: memory
// that an image has left is as long as its class says.
func TestImagesFitInTheMemoryOfOthers(t *testing.T) {
	for n := 1; n < 1<<30; n += n/100 + 1 {
		size, c := classOf(n)
		if size < max(n, smallestBlock) || 8*(size-n) > n && size > smallestBlock {
			t.Fatalf("%d bytes: got a block of %d", n, size)
		}
		if again, same := classOf(size); again != size || same != c {
			t.Fatalf("%d bytes: a block of %d would be put back among those of %d", n, size, again)
		}
		for i := range classes {
			if c == &classes[i] && sizeOf(i) != size {
				t.Fatalf("blocks of %d bytes are counted as %d", size, sizeOf(i))
			}
		}
	}
}

func TestRecycledImages(t *testing.T) {
	defer DropFree()
	for round := range 50 {
		samples := make([]Sample, 20)
		for i := range samples {
			s := &samples[i]
			s.Size = int64(1000*i*i + round)
			s.NewImage(0)
			if int64(len(s.Image)) != s.Size {
				t.Fatalf("got %d bytes, want %d", len(s.Image), s.Size)
			}
			for at := range s.Image {
				s.Image[at] = byte(i)
			}
		}
		for i := range samples {
			for at, v := range samples[i].Image {
				if v != byte(i) {
					t.Fatalf("round %d, image %d: byte %d is that of image %d", round, i, at, v)
				}
			}
			samples[i].Recycle()
			samples[i].Recycle() // has nothing any more
		}
	}
}

// TestMemoryOfOtherSizesIsGivenUp reads images that become longer and longer, as
// a shuffle buffer does: what is kept follows what is used.
func TestMemoryOfOtherSizesIsGivenUp(t *testing.T) {
	DropFree()
	defer DropFree()
	const held = 64
	var buffer [held]Sample
	for n := range 100 * held {
		s := &buffer[n%held]
		s.Recycle()
		s.Size = int64(20_000 + 20*n) // a tenth of the classes at a time
		s.NewImage(0)
	}
	used := 0
	for i := range buffer {
		used += cap(buffer[i].Image)
	}
	if most := int64(used + used/8 + spareBytes); HeldBytes() > most {
		t.Errorf("%d bytes are held for images that take %d, want at most %d", HeldBytes(), used, most)
	}
	for i := range buffer {
		buffer[i].Recycle()
	}
	if DropFree(); HeldBytes() != 0 {
		t.Errorf("%d bytes are still counted once all are free", HeldBytes())
	}
}
