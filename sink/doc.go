/*
Package sink keeps what a run brings forth: the run directory with its
checkpoints and metrics, embeddings as Parquet, and contact sheets.

# The run directory

	runs/NAME/
	  lock                     flock of the running process, with its id
	  config.yaml              the resolved configuration
	  metrics.jsonl            an object a logged step
	  rejected.jsonl           an object a sample that could not be read
	  summary.json             how the run ended, with its digests
	  checkpoints/
	    step-00000123/
	      encoder_q.safetensors  a file a group of tensors, named by the first
	      optimizer.safetensors  part of the tensors' names, which they lose
	      queue.safetensors
	      state.json             step and cursor
	      config.yaml            the configuration that led here
	      SHA256SUMS             of all the files above; `sha256sum -c` reads it

So encoder_q.safetensors holds torchvision's names, and is itself a file for
--init or for Python's load_state_dict.

# What survives

A checkpoint is written beside its place, synced and renamed: a process killed
at any moment leaves either no trace of it (but a .tmp, which the next run
removes) or all of it. Older checkpoints go only after the new one is durable.
A checkpoint whose files do not match their sums is refused by name and the one
before is used; it is set aside as step-NNN.refused and never deleted.

Metrics and rejects are appended as they come. They can be ahead of the last
checkpoint when a run dies, and are cut back to it when the run goes on: a
resumed run leaves the same lines behind as one that was never stopped.
*/
package sink
