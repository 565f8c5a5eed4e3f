package imagecodec

// Implementations returns the names of the kernels this machine can run.
func Implementations() []string {
	names := make([]string, len(implementations))
	for i := range implementations {
		names[i] = implementations[i].name
	}
	return names
}

// UseKernels makes the kernels of that name the ones in use and returns the
// function that undoes it.
func UseKernels(name string) (undo func()) {
	before := active
	active = chooseKernels(name)
	return func() { active = before }
}
