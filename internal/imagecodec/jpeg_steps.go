package imagecodec

// stepBits is how many bits of a sequential scan are looked up at a time. At 10
// two tables of steps and the data stay in an L1 cache of 32 KiB; more bits save
// steps and cost misses.
const stepBits = lookupBits

// step is what the next stepBits bits say of a block: one or two codes with the
// values behind them. Half of the codes of a photo are so short, values
// included, that a second one is there to be had. Zero stands for a code that is
// longer. From the low byte on:
//
//	total   bits of all
//	run     places to the first value
//	move    places from the first value to where the next code counts from; the
//	        second value, if any, stands right before it
//	own     bits of the first code and its value
//	first   the first value, 16 bits
//	second  the second, 16 bits; zero if there is none
//
// The end of a block moves to behind its last place, and values of zero stand
// where no value has been yet, so that whoever takes a step can store both
// without looking. Where the first value lies beyond the stepBits bits, move is
// zero, own the bits of the code alone and first the bits of the value.
type step uint64

// pairingPays is how many bytes of codes pay for the steps of two codes.
const pairingPays = 8 << 10

// endMove leads from any place but the first behind the last.
const endMove = 63

func newStep(total uint, run, move int, own uint, first, second int16) step {
	return step(total) | step(run)<<8 | step(move)<<16 | step(own)<<24 | step(uint16(first))<<32 | step(uint16(second))<<48
}

func (s step) total() uint   { return uint(s & 63) }
func (s step) run() int      { return int(s >> 8 & 255) }
func (s step) move() int     { return int(s >> 16 & 255) }
func (s step) own() uint     { return uint(s >> 24 & 63) }
func (s step) first() int16  { return int16(s >> 32) }
func (s step) second() int16 { return int16(s >> 48) }

// singleStep is the step of one code, which bits, left aligned, begin with.
func singleStep(c code, bits uint64) step {
	switch {
	case c == 0:
		return 0
	case c.total() > stepBits:
		return newStep(c.total(), c.run(), 0, c.length(), int16(c.size()), 0)
	case c.size() == 0 && c.run() != 15:
		return newStep(c.total(), 0, endMove, c.total(), 0, 0)
	}
	return newStep(c.total(), c.run(), 1, c.total(), int16(extend(bits<<c.length(), c.size())), 0)
}

// pair joins two steps of one code each, of which the first does not end the
// block.
func (s step) pair(next step) step {
	return newStep(s.total()+next.total(), s.run(), 1+next.run()+next.move(), s.own(), s.first(), next.first())
}

// buildSteps derives the steps from the codes, those of two codes if asked for:
// they cost what decoding some kilobytes with them saves.
func (t *huffmanTable) buildSteps(pairs bool) {
	if t.stepsBuilt && (t.pairsBuilt || !pairs) {
		return
	}
	var single [1 << stepBits]step
	for i := 0; i < len(single); {
		c := t.lookup[i]
		used := uint(stepBits) // bits that tell the step from others
		switch {
		case c == 0:
		case c.total() > stepBits:
			used = c.length()
		default:
			used = c.total()
		}
		s := singleStep(c, uint64(i)<<(64-stepBits))
		for end := i + 1<<(stepBits-used); i < end; i++ {
			single[i] = s
		}
	}
	t.steps = single
	t.stepsBuilt, t.pairsBuilt = true, pairs
	if !pairs {
		return
	}
	for i, s := range single {
		next := single[i<<s.total()&(len(single)-1)]
		if s.move() == 1 && next.move() != 0 && s.total()+next.total() <= stepBits {
			t.steps[i] = s.pair(next)
		}
	}
}
