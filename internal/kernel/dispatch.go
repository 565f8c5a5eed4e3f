package kernel

import (
	"fmt"
	"os"
	"strings"
)

// An implementation is a row of the dispatch table: every kernel for one
// instruction set. Each family of kernels is one field, defined beside it.
type implementation struct {
	name     string
	gemm     gemmKernels
	winograd winogradSet
	columns  columnKernels
	rows     rowKernels
	vector   vectorKernels
	pool     poolKernels
	expSum   expSumKernel
}

// implementations holds the rows this machine can run, the slowest first. The
// generic row is always there; nativeRows is empty under the noasm tag and on
// architectures without assembly.
var implementations = append([]implementation{{
	name:     "generic",
	gemm:     gemmGeneric,
	winograd: winogradGeneric,
	columns:  columnsGeneric,
	rows:     rowsGeneric,
	vector:   vectorGeneric,
	pool:     poolGeneric,
	expSum:   expSumF32Generic,
}}, nativeRows()...)

// active is the row that plans made from now on are bound to.
var active = initial(os.Getenv("CLPIPE_KERNEL"))

// initial returns the row called name, or the fastest one where name is empty
// or cannot be had: a variable set for debugging must not keep a program from
// starting, and Selected tells what runs.
func initial(name string) *implementation {
	if row := lookup(name); row != nil {
		return row
	}
	return &implementations[len(implementations)-1]
}

func lookup(name string) *implementation {
	for i := range implementations {
		if implementations[i].name == name {
			return &implementations[i]
		}
	}
	return nil
}

// Variants returns the names of the implementations this machine can run, the
// slowest ("generic") first.
func Variants() []string {
	names := make([]string, len(implementations))
	for i, row := range implementations {
		names[i] = row.name
	}
	return names
}

// Selected returns the name of the implementation in use.
func Selected() string { return active.name }

// Select chooses the implementation that plans made later are bound to; those
// already made keep theirs. It returns an error naming the available ones when
// name is not among them. It must not run beside other calls of this package.
func Select(name string) error {
	row := lookup(name)
	if row == nil {
		return fmt.Errorf("kernel: select: %q is not an implementation this machine can run, want one of %s",
			name, strings.Join(Variants(), ", "))
	}
	active = row
	return nil
}
