package main

import "strconv"

// launchers are the variables by which programs that start many processes tell
// each its rank and their number. Of Slurm's numbers that of the step is what srun
// has started.
var launchers = []struct{ rank, world string }{
	{"RANK", "WORLD_SIZE"},                           // torchrun
	{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"}, // Open MPI, also with PMIx
	{"PMI_RANK", "PMI_SIZE"},                         // MPICH, Intel MPI
	{"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},   // MVAPICH2
	{"PMIX_RANK", "PMIX_SIZE"},                       // where a PMIx launcher sets both
	{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},         // srun
	{"SLURM_PROCID", slurmTasks},                     // whoever starts processes as srun does
}

// slurmTasks is the number of tasks of a Slurm job. It stands in the job's batch
// script too, which is one process: within a job the step's number decides.
const slurmTasks = "SLURM_NTASKS"

// launched returns the rank of this process among world, 0 of 1 unless a launcher
// says otherwise in the environment.
func launched(getenv func(string) string) (rank, world int, ok bool) {
	for _, l := range launchers {
		if l.world == slurmTasks && getenv("SLURM_JOB_ID") != "" {
			continue
		}
		r, err1 := strconv.Atoi(getenv(l.rank))
		w, err2 := strconv.Atoi(getenv(l.world))
		if err1 == nil && err2 == nil {
			return r, w, true
		}
	}
	return 0, 1, false
}
