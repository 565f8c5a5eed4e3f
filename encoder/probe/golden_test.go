package probe

import (
	"fmt"
	"math"
	"testing"

	"clpipe/internal/goldentest"
	"clpipe/internal/par"
)

// labelled is the function features of testdata/probes.py.
func labelled(seed, n, d, classes int, signal float64) *Features {
	f := &Features{D: d}
	centres, noise, scale, mean := goldentest.Hashed(999, classes*d), goldentest.Hashed(seed+1, n*d), goldentest.Hashed(998, d), goldentest.Hashed(997, d)
	for i, u := range goldentest.Hashed(seed, n) {
		label := int(u * float64(classes))
		f.Labels = append(f.Labels, label)
		for j := range d {
			x := float64(signal*(centres[label*d+j]-0.5)) + (noise[i*d+j] - 0.5)
			f.Data = append(f.Data, float32(float64(x*(0.1+float64(10*scale[j])))+float64(6*mean[j]-3)))
		}
	}
	return f
}

// counted is the part of a score that depends on the number of correct rows alone.
func (s Score) counted() Score {
	s.Balanced = 0
	return s
}

// The probes beside PyTorch's in float64 (testdata/probes.py): as many correct,
// and for the linear one an objective within 1e-4 of the optimum.
func TestProbesMatchPyTorch(t *testing.T) {
	var golden struct {
		Cases []struct {
			Seed, Train, Test, Dim, Classes int
			Signal                          float64
			KNN                             []struct {
				K, Correct  int
				Temperature float64
			}
			Linear []struct {
				L2, Objective float64
				Correct       int
			}
		}
	}
	goldentest.Read(t, "testdata/probes.json", &golden)
	for _, c := range golden.Cases {
		t.Run(fmt.Sprintf("%dx%d", c.Train, c.Dim), func(t *testing.T) {
			train := labelled(c.Seed, c.Train, c.Dim, c.Classes, c.Signal)
			test := labelled(c.Seed+10, c.Test, c.Dim, c.Classes, c.Signal)
			for _, k := range c.KNN {
				if got, want := KNN(train, test, KNNConfig{K: k.K, Temperature: k.Temperature, Workers: 2}), score(k.Correct, c.Test); got.counted() != want {
					t.Errorf("kNN, k %d: %v, want %v", k.K, got, want)
				}
			}
			for _, l := range c.Linear {
				got, l2, err := Linear(train, test, LinearConfig{L2: l.L2, Workers: 2})
				if want := score(l.Correct, c.Test); err != nil || got.counted() != want || l2 != l.L2 {
					t.Errorf("linear: %v at penalty %v, %v; want %v at %v", got, l2, err, want, l.L2)
				}
				if got := optimum(t, train, c.Classes, l.L2); math.Abs(got-l.Objective) > 1e-4 {
					t.Errorf("penalty %v: objective %.6f, want %.6f", l.L2, got, l.Objective)
				}
			}
		})
	}
}

// optimum trains as Linear does and returns the objective it comes to, written
// out in float64.
func optimum(t *testing.T, train *Features, classes int, l2 float64) float64 {
	t.Helper()
	pool := par.NewPool(1)
	defer pool.Close()
	mean, scale := moments(train)
	w, err := regress(pool, standardised(train, mean, scale), classes, l2, make([]float64, (train.D+1)*classes))
	if err != nil {
		t.Fatal(err)
	}
	return objective(train, mean, scale, classes, l2, w)
}

// objective is the penalised cross-entropy of weights [D+1,classes] on features
// standardised by mean and scale.
func objective(f *Features, mean, scale []float64, classes int, l2 float64, w []float64) float64 {
	sum := 0.0
	for i, label := range f.Labels {
		z := append([]float64(nil), w[f.D*classes:]...)
		for j, v := range f.Data[i*f.D : (i+1)*f.D] {
			for c := range z {
				z[c] += (float64(v) - mean[j]) * scale[j] * w[j*classes+c]
			}
		}
		total := 0.0
		for _, v := range z {
			total += math.Exp(v - z[label])
		}
		sum += math.Log(total)
	}
	sum /= float64(f.N())
	for _, v := range w[:f.D*classes] {
		sum += l2 / 2 * v * v
	}
	return sum
}
