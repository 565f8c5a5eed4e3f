// Package detect measures how well an encoder transfers to finding objects: a small
// detector on the map of its trunk, trained on boxes, and the average precision of
// what it finds.
//
// The detector follows "Objects as Points" (Zhou et al. 2019, arXiv 1904.07850),
// small enough for a CPU: no anchors, no proposals, no suppression. Every cell of the
// map says for each class how likely the centre of such an object lies in it (the
// heatmap), how large the object is, and where in the cell its centre is.
//
//	Head      the layers on a trunk's map
//	targets   what a cell should say of the objects of a view
//	loss      focal loss on the heatmap, L1 on sizes and offsets
//	Trainer   trains head alone (frozen trunk) or both, and finds objects
//	Evaluate  average precision as PASCAL VOC and COCO define it
//
// Boxes of this package are in pixels of the view, continuous: pixel x covers
// [x, x+1).
package detect
