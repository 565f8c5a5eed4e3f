package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Box is [left, top, right, bottom] in pixels, continuous: pixel column x covers
// [x, x+1).
type Box [4]float64

// IoU returns the area that two boxes share, divided by the area that they cover
// together: in [0,1], and 0 where a box has no area or a number is not finite.
func (b Box) IoU(o Box) float64 {
	w, h := min(b[2], o[2])-max(b[0], o[0]), min(b[3], o[3])-max(b[1], o[1])
	if w > 0 && h > 0 {
		if iou := w * h / (b.area() + o.area() - w*h); iou > 0 {
			return iou
		}
	}
	return 0 // of NaN too
}

func (b Box) area() float64 { return (b[2] - b[0]) * (b[3] - b[1]) }

// Truth is an object that is in an image.
type Truth struct {
	Class int
	Box   Box
	// Difficult says that the object can hardly be seen: whether it is found
	// plays no part.
	Difficult bool
}

// Detection is an object that a detector takes to be in an image; the higher its
// score the surer.
type Detection struct {
	Class int
	Score float64
	Box   Box
}

// Metric is a way to sum up precisions at all recalls in one number.
type Metric int

const (
	// VOC07 is the mean over the recalls 0, 0.1 … 1 of the largest precision at
	// that recall or beyond, as in the challenges up to VOC 2009.
	VOC07 Metric = iota
	// Area is the area under these largest precisions, as from VOC 2010 on.
	Area
)

// Score says how well objects were found, in [0,1]. A mean over classes is that
// over the classes with a truth that is not difficult, NaN if there is none.
type Score struct {
	AP    float64   // mean over the thresholds 0.5, 0.55 … 0.95 of the mean over classes
	AP50  float64   // mean over classes at threshold 0.5
	AP75  float64   // at 0.75
	Class []float64 // at 0.5, by class, NaN for one without such a truth
}

// Evaluate compares detections with truths, both by image, and returns average
// precisions as the challenges define them (M. Everingham et al., IJCV 2010).
//
// Detections of a class are taken in order of falling scores over all images,
// equal ones as they come: by image, then in the image's order; a score of NaN is
// the last. Each belongs to the truth of its class and image that it overlaps
// most, the first of equals. If their IoU is above the threshold, a detection of
// a difficult truth is left out, the first of any other is right, and further ones
// are wrong. So is every other detection.
//
// The rules, to the last bit of a recall, are those of Detectron2's evaluation,
// by which results on VOC are published. It differs from the challenges' own
// program where the IoU equals the threshold, which that one accepts; and it
// rounds scores to 0.001 and boxes to 0.1 pixels first, which is not done here.
//
// It panics if a class is not in [0,classes), or the numbers of images differ.
func Evaluate(truths [][]Truth, detections [][]Detection, classes int, m Metric) Score {
	if len(truths) != len(detections) {
		panic(fmt.Sprintf("detect: Evaluate: truths of %d images, detections of %d", len(truths), len(detections)))
	}
	positives := make([]int, classes) // the truths that are to be found, by class
	var difficult []bool              // of each truth, images one after the other
	claims := make([][]claim, classes)
	for i := range truths {
		first := len(difficult)
		for _, t := range truths[i] {
			difficult = append(difficult, t.Difficult)
			if toFind := &positives[t.Class]; !t.Difficult {
				*toFind++
			}
		}
		for _, d := range detections[i] {
			c := claim{score: d.Score}
			for j, t := range truths[i] {
				if t.Class == d.Class {
					if iou := d.Box.IoU(t.Box); iou > c.iou {
						c.truth, c.iou = first+j, iou
					}
				}
			}
			claims[d.Class] = append(claims[d.Class], c)
		}
	}
	for _, c := range claims {
		slices.SortStableFunc(c, func(a, b claim) int { return cmp.Compare(b.score, a.score) })
	}

	s := Score{Class: make([]float64, classes)}
	found := make([]bool, len(difficult))
	const lowest, highest, step = 50, 95, 5 // thresholds, in hundredths
	for threshold := lowest; threshold <= highest; threshold += step {
		clear(found)
		sum, n := 0.0, 0
		for class, c := range claims {
			ap := math.NaN()
			if positives[class] > 0 {
				ap = m.sumUp(curve(c, float64(threshold)/100, positives[class], difficult, found))
				sum += ap
				n++
			}
			if threshold == lowest {
				s.Class[class] = ap
			}
		}
		mean := sum / float64(n)
		switch threshold {
		case 50:
			s.AP50 = mean
		case 75:
			s.AP75 = mean
		}
		s.AP += mean
	}
	s.AP /= (highest-lowest)/step + 1
	return s
}

// A claim is a detection and what it has most in common with.
type claim struct {
	score float64
	truth int     // that it overlaps most, if iou is above 0
	iou   float64 // with that
}

// curve returns precision and recall over the first claims, for every number of
// them. found is set for the truths that they find.
func curve(claims []claim, threshold float64, positives int, difficult, found []bool) (precision, recall []float64) {
	right, wrong := 0, 0
	for _, c := range claims {
		switch {
		case c.iou <= threshold:
			wrong++
		case difficult[c.truth]:
			continue
		case found[c.truth]:
			wrong++
		default:
			found[c.truth] = true
			right++
		}
		precision = append(precision, float64(right)/float64(right+wrong))
		recall = append(recall, float64(right)/float64(positives))
	}
	return precision, recall
}

// sumUp returns the average precision of a curve, whose precision it overwrites.
func (m Metric) sumUp(precision, recall []float64) (ap float64) {
	// The largest precision at a recall or beyond.
	for i := len(precision) - 2; i >= 0; i-- {
		precision[i] = max(precision[i], precision[i+1])
	}
	if m == Area {
		last := 0.0
		for i, r := range recall {
			ap += (r - last) * precision[i]
			last = r
		}
		return ap
	}
	const levels = 11
	for i := range levels {
		// 0.30000000000000004 for 0.3, and so more than a recall of 3/10: as in
		// Detectron2.
		if at := sort.SearchFloat64s(recall, float64(i)*0.1); at < len(recall) {
			ap += precision[at]
		}
	}
	return ap / levels
}
