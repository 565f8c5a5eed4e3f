package shard

import "testing"

// TestImagesFitInTheMemoryOfOthers checks every size around the steps: memory
// that comes from a pool is as long as the pool says.
func TestImagesFitInTheMemoryOfOthers(t *testing.T) {
	for n := smallestPooled; n < 1<<30; n += n/100 + 1 {
		size, p := pooledSize(n)
		if size < n || 8*(size-n) > n {
			t.Fatalf("%d bytes: got a block of %d", n, size)
		}
		if again, same := pooledSize(size); again != size || same != p {
			t.Fatalf("%d bytes: a block of %d would be put back among those of %d", n, size, again)
		}
	}
}

func TestRecycledImages(t *testing.T) {
	for round := range 50 {
		samples := make([]Sample, 20)
		for i := range samples {
			s := &samples[i]
			s.Size = int64(1000*i*i + round)
			s.NewImage()
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
