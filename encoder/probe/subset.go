package probe

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"clpipe/internal/rng"
)

// Subsets is how many draws of few labels are averaged.
const Subsets = 3

// FewLabels returns the rows of FewRows. At share 1 it returns f itself.
func FewLabels(f *Features, share float64, seed uint64, number int) (*Features, error) {
	rows, err := FewRows(f.Labels, share, seed, number)
	if err != nil || share == 1 {
		return f, err
	}
	out := &Features{D: f.D}
	for _, i := range rows {
		out.Labels = append(out.Labels, f.Labels[i])
		out.Data = append(out.Data, f.Data[i*f.D:(i+1)*f.D]...)
	}
	return out, nil
}

// FewRows returns a share of the rows of labels, rounded to the nearest number but at
// least one row of each class: as many rows of every class, class by class, drawn by
// (seed, share, number), the setting in which 1 % or 10 % of the labels are known
// (Chen et al. 2020, section 6). A class with fewer rows gives all it has and the
// others more; what cannot be divided comes from the largest.
// It is an error if the share is not in (0,1]; at 1 it returns all in their order.
func FewRows(labels []int, share float64, seed uint64, number int) ([]int, error) {
	if !(share > 0 && share <= 1) {
		return nil, fmt.Errorf("probe: a share of labels is %g, want it in (0,1]", share)
	}
	var out []int
	if share == 1 {
		for i := range labels {
			out = append(out, i)
		}
		return out, nil
	}
	rows := map[int][]int{}
	for i, label := range labels {
		rows[label] = append(rows[label], i)
	}
	classes := slices.SortedFunc(maps.Keys(rows), func(a, b int) int {
		return cmp.Or(cmp.Compare(len(rows[a]), len(rows[b])), cmp.Compare(a, b))
	})
	left := max(len(classes), int(math.Round(share*float64(len(labels)))))
	for i, label := range classes {
		of := rows[label]
		take := min(len(of), left/(len(classes)-i))
		left -= take
		perm := make([]int, len(of))
		draw := rng.New(seed, rng.Probe, mlpDropout+1, math.Float64bits(share), uint64(number), uint64(label))
		draw.Perm(perm)
		for _, i := range perm[:take] {
			out = append(out, of[i])
		}
	}
	return out, nil
}

// MeanStd returns the mean of values and their deviation (that of a sample, with
// n-1; 0 of a single value).
func MeanStd(values []float64) (mean, std float64) {
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		std += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(std / float64(max(len(values)-1, 1)))
}
