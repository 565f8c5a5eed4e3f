package kernel

import "clpipe/internal/par"

// A winogradPass computes a 3x3 convolution, or its data gradient, in tiles of
// size x size results: it transforms input tiles, multiplies them with
// transformed weights at points^2 points, each a matrix product over channels,
// and transforms back. Packed weights are [factor][width/16][depth][16].
type winogradPass struct {
	weights panelSource
	rotated bool // weights turned by 180 degrees, for the data gradient
	kern    gemmKernels
	tr      winogradKernels
	workers int

	tiles    tiling // of dst
	src, dst windows
	in, out  spectrum // a block of tiles, before and after the product
	panels   int
	shared   bool // a block is worked on by all workers together
}

const (
	// privateFloats bounds the transformed tiles of a block that one worker
	// takes from input to output, so that they stay in its own cache.
	privateFloats = 160 << 10
	// sharedTiles is the block where all workers transform, multiply and
	// transform back together: for layers of few tiles and large weights,
	// which are then read once a block and not once a worker.
	sharedTiles = 192
	// tileUnit divides by every implementation's tile height.
	tileUnit = 24
	// transformTiles is how many tiles a task of a shared block transforms.
	transformTiles = 4
)

// newWinogradPass plans a pass in which the pixels of src for the first of dst
// begin lead pixels before it.
func newWinogradPass(sw sweep, lead int, rotated bool, tr winogradKernels, kern gemmKernels, workers int) *winogradPass {
	p := &winogradPass{
		weights: sw.weights,
		rotated: rotated,
		kern:    kern,
		tr:      tr,
		workers: workers,
		tiles:   newTiling(sw.dst, tr.size),
		panels:  sw.dst.stride() / lanes,
	}
	p.src = newWindows(sw.src, p.tiles, tr.window, lead, tr.size*sw.srcStep/sw.dstStep)
	p.dst = newWindows(sw.dst, p.tiles, tr.size, 0, tr.size)
	depth, width, points := p.src.stride(), p.dst.stride(), tr.points*tr.points
	block := privateFloats / (points * (depth + width)) / tileUnit * tileUnit
	block = min(max(block, tileUnit), roundUp(p.tiles.count(), tileUnit))
	if ceilDiv(p.tiles.count(), block) < minTasks {
		p.shared = true
		block = min(sharedTiles, roundUp(p.tiles.count(), tileUnit))
	}
	p.in, p.out = newSpectrum(points, block, depth), newSpectrum(points, block, width)
	return p
}

// factorLen is the floats of the packed weights of a factor and what follows
// them: an odd number of cache lines, as between the matrices of a spectrum.
func (p *winogradPass) factorLen() int { return (p.panels*p.in.channels | 1) * lanes }

func (p *winogradPass) packedLen() int { return p.tr.factors * p.tr.factors * p.factorLen() }

func (p *winogradPass) pack(packed, w []float32) []par.Phase {
	const taps, rows = 9, lanes
	type tables struct {
		stage, tmp []float32
	}
	scratch := make([]tables, p.workers)
	for i := range scratch {
		scratch[i] = tables{Alloc(taps * rows * lanes), Alloc(winogradTmp)}
	}
	staged, offsets := make([]int, taps), make([]int, p.tr.factors*p.tr.factors)
	for i := range staged {
		staged[i] = i * rows * lanes
	}
	for i := range offsets {
		offsets[i] = i * p.factorLen()
	}
	depth, matrix := p.in.channels, p.weights.depth*p.weights.width
	return []par.Phase{{Tasks: p.panels * depth / rows, Run: func(worker, task int) {
		q, k0 := task/(depth/rows), task%(depth/rows)*rows
		s := &scratch[worker]
		for t := range taps {
			from := t
			if p.rotated {
				from = taps - 1 - t
			}
			p.weights.panel(&p.kern, s.stage[staged[t]:], w[from*matrix:], k0, rows, q*lanes)
		}
		p.tr.weight(packed[(q*depth+k0)*lanes:], offsets, s.stage, staged, rows, false, s.tmp)
	}}}
}

// workerLen is the scratch of a worker beside the tiles.
func (p *winogradPass) workerLen() int { return winogradTmp + p.stageLen() }

// stageLen is the floats of a tile of results that reaches beyond the image.
func (p *winogradPass) stageLen() int { return p.tr.size * p.tr.size * p.out.channels }

func (p *winogradPass) scratchLen() int {
	blocks := p.workers
	if p.shared {
		blocks = 1
	}
	return blocks*(p.in.len()+p.out.len()) + p.workers*p.workerLen()
}

// A winogradWorker is the scratch of a worker.
type winogradWorker struct {
	src, dst   finder // a pass writes dst, and needs none for it
	staged     []int  // offsets of the pixels of stage
	stage, tmp []float32
}

func (p *winogradPass) run(dst, src, packed, scratch []float32, add bool) []par.Phase {
	take := func(n int) []float32 {
		part := scratch[:n:n]
		scratch = scratch[n:]
		return part
	}
	workers := make([]winogradWorker, p.workers)
	for i := range workers {
		w := winogradWorker{
			src:   newFinder(&p.src),
			stage: take(p.stageLen()),
			tmp:   take(winogradTmp),
		}
		for j := range p.tr.size * p.tr.size {
			w.staged = append(w.staged, j*p.out.channels)
		}
		workers[i] = w
	}
	block := p.in.tiles
	blocks := ceilDiv(p.tiles.count(), block)
	if !p.shared {
		in, out := make([][]float32, p.workers), make([][]float32, p.workers)
		for i := range in {
			in[i], out[i] = take(p.in.len()), take(p.out.len())
		}
		return []par.Phase{{Tasks: blocks, Run: func(worker, task int) {
			in, out, w := in[worker], out[worker], &workers[worker]
			begin := task * block
			count := min(block, p.tiles.count()-begin)
			p.transformInput(in, src, w, begin, 0, count)
			for point := range p.in.points {
				p.multiply(out, in, packed, point, count)
			}
			p.transformOutput(dst, out, w, begin, 0, count, add)
		}}}
	}
	in, out := take(p.in.len()), take(p.out.len())
	var phases []par.Phase
	for b := range blocks {
		begin := b * block
		count := min(block, p.tiles.count()-begin)
		transforms := ceilDiv(count, transformTiles)
		phases = append(phases, par.Phase{Tasks: transforms, Run: func(worker, task int) {
			first := task * transformTiles
			p.transformInput(in, src, &workers[worker], begin, first, min(first+transformTiles, count))
		}}, par.Phase{Tasks: p.in.points, Run: func(_, point int) {
			p.multiply(out, in, packed, point, count)
		}}, par.Phase{Tasks: transforms, Run: func(worker, task int) {
			first := task * transformTiles
			p.transformOutput(dst, out, &workers[worker], begin, first, min(first+transformTiles, count), add)
		}})
	}
	return phases
}

// transformInput transforms the tiles from..to of the block that begins with
// tile begin.
func (p *winogradPass) transformInput(in, src []float32, w *winogradWorker, begin, from, to int) {
	for t, at := from, p.tiles.at(begin+from); t < to; t, at = t+1, p.tiles.after(at) {
		first, offsets := w.src.find(at)
		p.tr.input(in[p.in.rows[t]:], p.in.offsets, src[first:], offsets, p.in.channels/lanes, false, w.tmp)
	}
}

// multiply computes a point of the first count tiles of a block.
func (p *winogradPass) multiply(out, in, packed []float32, point, count int) {
	in, out = in[p.in.offsets[point]:], out[p.out.offsets[point]:]
	packed = packed[p.tr.factor(point)*p.factorLen():]
	depth := p.in.channels
	groups := ceilDiv(count, p.kern.rows)
	for q := 0; q < p.panels; q += p.kern.panels {
		p.kern.gather(out[q*lanes:], p.out.rows, in, p.in.rows, packed[q*depth*lanes:], depth*lanes,
			min(p.kern.panels, p.panels-q), groups, 1, depth, false)
	}
}

// transformOutput transforms the tiles from..to of a block back to dst, and asks
// for the place of each tile's result a tile before.
func (p *winogradPass) transformOutput(dst, out []float32, w *winogradWorker, begin, from, to int, add bool) {
	for t, at := from, p.tiles.at(begin+from); t < to; t, at = t+1, p.tiles.after(at) {
		if t+1 < to {
			if first, pixels := p.dst.locate(p.tiles.after(at)); len(pixels.outside) == 0 {
				p.tr.prefetch(dst[first:], pixels.offsets, p.panels)
			}
		}
		product := out[p.out.rows[t]:]
		first, pixels := p.dst.locate(at)
		if len(pixels.outside) == 0 {
			p.tr.output(dst[first:], pixels.offsets, product, p.out.offsets, p.panels, add, w.tmp)
			continue
		}
		p.tr.output(w.stage, w.staged, product, p.out.offsets, p.panels, false, w.tmp)
		for _, i := range pixels.inside {
			pixel := dst[first+pixels.offsets[i]:][:p.out.channels]
			result := w.stage[w.staged[i]:][:p.out.channels]
			if !add {
				copy(pixel, result)
				continue
			}
			for c, v := range result {
				pixel[c] += v
			}
		}
	}
}
