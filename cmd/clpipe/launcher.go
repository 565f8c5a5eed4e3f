package main

import "strconv"

// launchers are the variables by which programs that start many processes tell
// each its rank and their number: torchrun, Open MPI, MPICH, Slurm's srun.
var launchers = []struct{ rank, world string }{
	{"RANK", "WORLD_SIZE"},
	{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
	{"PMI_RANK", "PMI_SIZE"},
	{"SLURM_PROCID", "SLURM_NTASKS"},
}

// launched returns the rank of this process among world, 0 of 1 if no launcher
// says otherwise in the environment.
func launched(getenv func(string) string) (rank, world int) {
	for _, l := range launchers {
		r, err1 := strconv.Atoi(getenv(l.rank))
		w, err2 := strconv.Atoi(getenv(l.world))
		if err1 == nil && err2 == nil {
			return r, w
		}
	}
	return 0, 1
}
