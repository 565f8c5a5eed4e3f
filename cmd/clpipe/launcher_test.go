package main

import "testing"

func TestLaunched(t *testing.T) {
	for _, c := range []struct {
		env         map[string]string
		rank, world int
	}{
		{nil, 0, 1},
		{map[string]string{"RANK": "2", "WORLD_SIZE": "4"}, 2, 4},
		{map[string]string{"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, 1, 3},
		{map[string]string{"SLURM_PROCID": "7", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8"}, 7, 8},
		{map[string]string{"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, 1, 2},
		{map[string]string{"SLURM_JOB_ID": "17", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, 0, 1},
		{map[string]string{"SLURM_JOB_ID": "17", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "4"}, 3, 4},
		{map[string]string{"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}, 0, 1},
		{map[string]string{"PMI_RANK": "1", "PMI_SIZE": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}, 1, 2},
		{map[string]string{"PMIX_RANK": "3", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, 3, 4},
		{map[string]string{"PMIX_RANK": "3", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "6"}, 3, 6},
		{map[string]string{"MV2_COMM_WORLD_RANK": "0", "MV2_COMM_WORLD_SIZE": "2"}, 0, 2},
		{map[string]string{"RANK": "2"}, 0, 1},
		{map[string]string{"RANK": "two", "WORLD_SIZE": "4", "PMI_RANK": "1", "PMI_SIZE": "2"}, 1, 2},
	} {
		rank, world, ok := launched(func(name string) string { return c.env[name] })
		if rank != c.rank || world != c.world || !ok && world > 1 {
			t.Errorf("%v: got rank %d of %d, %v, want %d of %d", c.env, rank, world, ok, c.rank, c.world)
		}
	}
}
