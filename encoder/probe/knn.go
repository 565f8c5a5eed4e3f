package probe

import (
	"math"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// KNNConfig are the settings of weighted nearest neighbours.
type KNNConfig struct {
	K           int     // neighbours; default 200, at most the bank
	Temperature float64 // default 0.1
	Workers     int
}

// KNN classifies each test row by its K nearest bank rows in cosine similarity,
//
//	score_c = Σ_{i in top K, y_i = c} exp(<g, f_i>/τ)
//
// with both normalised to unit length (Wu et al. 2018, section 3.4). Among
// equal similarities the bank's earlier row is nearer; among equal scores the
// lower class wins.
func KNN(bank, test *Features, cfg KNNConfig) Score {
	bank, test, classes := indexed(bank, test)
	if cfg.K == 0 {
		cfg.K = 200
	}
	if cfg.Temperature == 0 {
		cfg.Temperature = 0.1
	}
	cfg.K = min(cfg.K, bank.N())
	const queries, keys = 256, 2048 // a block of similarities is 2 MiB
	pool := par.NewPool(cfg.Workers)
	defer pool.Close()
	f, g := normalised(bank), normalised(test)
	similar := kernel.Alloc(queries * keys)
	nearest := make([]topK, queries)
	predicted := make([]int, test.N())
	var scratch []float32
	for from := 0; from < test.N(); from += queries {
		n := min(queries, test.N()-from)
		for i := range nearest[:n] {
			nearest[i].reset(cfg.K)
		}
		for key := 0; key < bank.N(); key += keys {
			m := min(keys, bank.N()-key)
			product := kernel.NewGemm(kernel.GemmShape{M: n, N: m, K: bank.D, TransB: true}, pool.Workers())
			if need := product.ScratchLen(); need > len(scratch) {
				scratch = kernel.Alloc(need)
			}
			for _, ph := range product.Run(similar[:n*m], g[from*bank.D:(from+n)*bank.D], f[key*bank.D:(key+m)*bank.D], scratch, false) {
				pool.Run(ph)
			}
			pool.Run(par.Phase{Tasks: n, Run: func(_, i int) {
				for j, s := range similar[i*m : (i+1)*m] {
					nearest[i].offer(s, key+j)
				}
			}})
		}
		for i := range n {
			predicted[from+i] = nearest[i].vote(bank.Labels, classes, cfg.Temperature)
		}
	}
	return judge(predicted, test.Labels)
}

// normalised returns the rows at unit length.
func normalised(f *Features) []float32 {
	out := kernel.Alloc(len(f.Data))
	for i := range f.N() {
		row := f.Data[i*f.D : (i+1)*f.D]
		sum := 0.0
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		scale := 1 / max(math.Sqrt(sum), 1e-12)
		for j, v := range row {
			out[i*f.D+j] = float32(float64(v) * scale)
		}
	}
	return out
}

// topK keeps the k most similar bank rows in a heap whose root is the least
// similar of them.
type topK struct {
	k    int
	heap []neighbour
}

type neighbour struct {
	similarity float32
	index      int
}

// worse orders neighbours: less similar, or later among equals.
func (n neighbour) worse(o neighbour) bool {
	return n.similarity < o.similarity || n.similarity == o.similarity && n.index > o.index
}

func (t *topK) reset(k int) { t.k, t.heap = k, t.heap[:0] }

func (t *topK) offer(similarity float32, index int) {
	n := neighbour{similarity, index}
	if len(t.heap) < t.k {
		t.heap = append(t.heap, n)
		for i := len(t.heap) - 1; i > 0; {
			parent := (i - 1) / 2
			if !t.heap[i].worse(t.heap[parent]) {
				break
			}
			t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
			i = parent
		}
		return
	}
	if !t.heap[0].worse(n) {
		return
	}
	t.heap[0] = n
	for i := 0; ; {
		worst := i
		for c := 2*i + 1; c <= 2*i+2 && c < t.k; c++ {
			if t.heap[c].worse(t.heap[worst]) {
				worst = c
			}
		}
		if worst == i {
			return
		}
		t.heap[i], t.heap[worst] = t.heap[worst], t.heap[i]
		i = worst
	}
}

// vote returns the class with the largest score. All are taken relative to the
// nearest row's: exp(1/τ) overflows below τ = 0.0014.
func (t *topK) vote(labels []int, classes int, temperature float64) int {
	nearest := math.Inf(-1)
	for _, n := range t.heap {
		nearest = max(nearest, float64(n.similarity))
	}
	scores := make([]float64, classes)
	for _, n := range t.heap {
		scores[labels[n.index]] += math.Exp((float64(n.similarity) - nearest) / temperature)
	}
	best := 0
	for c, s := range scores {
		if s > scores[best] {
			best = c
		}
	}
	return best
}
