package probe

import (
	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
)

// CollectPixels returns the sink of a stream of pairs/1 that fills f with the
// pixels of the labelled anchors, [H*W*3] numbers in [0,1]: the baseline that an
// encoder has to beat.
func CollectPixels(f *Features) batch.Stage { return collect(f, batch.PairsKind, f.addPixels) }

// addPixels appends the labelled anchors of a record.
func (f *Features) addPixels(rec arrow.Record) error {
	pairs, err := batch.NewPairs(rec)
	if err != nil {
		return err
	}
	f.D = 1
	for _, n := range pairs.Shape {
		f.D *= n
	}
	for i := range pairs.Len() {
		label, ok := pairs.Label(i)
		if !ok {
			continue
		}
		if err := CheckLabel(label); err != nil {
			return err
		}
		f.Labels = append(f.Labels, int(label))
		for _, v := range pairs.Anchor[i*f.D : (i+1)*f.D] {
			f.Data = append(f.Data, float32(v)/255)
		}
	}
	return nil
}
