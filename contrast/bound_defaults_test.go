package contrast_test

import (
	"testing"

	"clpipe/contrast"
	"clpipe/encoder"
)

// TestEveryBoundTrainsWithEveryCritic runs the settings that a bound and a critic
// bring along: no score may run away where only a name was given.
func TestEveryBoundTrainsWithEveryCritic(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two dozen encoders")
	}
	for _, critic := range []contrast.Critic{contrast.CosineCritic, contrast.DotCritic, contrast.BilinearCritic, contrast.MLPCritic} {
		for _, bound := range []contrast.Bound{contrast.BoundNCE, contrast.BoundNWJ, contrast.BoundTUBA, contrast.BoundDV, contrast.BoundJSD, contrast.BoundInterpolated} {
			t.Run(string(critic)+" "+string(bound), func(t *testing.T) {
				cfg, err := contrast.Recipe("infonce", 16, contrast.Small)
				if err != nil {
					t.Fatal(err)
				}
				cfg.SetCritic(critic)
				cfg.SetBound(bound)
				const steps, batch = 20, 32
				cfg.Encoder.Width, cfg.Batch, cfg.Workers = 0.125, batch, 2
				cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 0.004, Steps: steps}
				train(t, cfg, newSource(16, 1, steps*batch, batch), nil, contrast.Hooks{}) // which fails where the loss is no number
			})
		}
	}
}
