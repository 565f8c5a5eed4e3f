package contrast

import (
	"fmt"
	"strings"
	"testing"
)

// Keys that are computed while a query waits for its backward pass would overwrite
// its activations: that is refused, not done.
func TestPassesRefuseToOverwriteLiveActivations(t *testing.T) {
	cfg, err := Recipe("moco-cifar", 8, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Queue, cfg.SplitBN, cfg.Workers = 0.0625, 8, 4, 8, 1, 1
	trainer, err := New(cfg, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	x, d := trainer.x, trainer.method.(*moco).directions[0]
	pixels := make([]byte, 4*8*8*3)
	x.begin(&Batch{Anchor: pixels, Positive: pixels, IDs: make([]uint64, 4)}, 0, 0)
	x.Forward(d.q)
	func() {
		defer func() {
			if got := fmt.Sprint(recover()); !strings.Contains(got, "encoder_k") || !strings.Contains(got, "encoder_q") {
				t.Errorf("got panic %q, want one that names both networks", got)
			}
		}()
		x.Forward(d.k)
	}()
	x.Backward(d.q)
	x.Forward(d.k)
}
