"""SPDL: decoding by its binding of FFmpeg, and pairs on its pipeline of threads."""
import random
import numpy as np

import opencv, worker

SHARE = 16  # files of one task: a task a file would wait for the interpreter's lock


def facts():
    spdl = worker.need("spdl.io")
    import importlib.metadata

    try:
        spdl.decode_config()  # looks for FFmpeg's libraries, which importing does not
    except RuntimeError as reason:
        worker.leave_out(str(reason))
    return {"spdl": importlib.metadata.version("spdl")}


class Decoding:
    """FFmpeg's decoder as SPDL binds it, which releases the interpreter's lock."""

    def __init__(self, files, threads):
        self.files, self.threads = files, threads

    def decode(self, files):
        import spdl.io

        alone = spdl.io.decode_config(decoder_options={"threads": "1"})  # FFmpeg would start a thread for each core and file
        for file in files:
            frames = spdl.io.decode_packets(spdl.io.demux_image(file), filter_desc="format=pix_fmts=rgb24", decode_config=alone)
            spdl.io.to_numpy(spdl.io.convert_frames(frames))
        return len(files)

    def run(self):
        drive(self.files, self.decode, self.threads)


class Pairs:
    """Decoding and views by OpenCV, which is faster than FFmpeg's filters, on
    SPDL's threads, straight into a tensor."""

    def __init__(self, files, policy, size, threads):
        self.files, self.policy, self.size, self.threads = files, policy, size, threads

    def views(self, files):
        out = np.empty((2, len(files), self.size, self.size, 3), np.uint8)
        for i, file in enumerate(files):
            image = opencv.decode(file)
            for pair in out:
                pair[i] = opencv.view(image, self.size, self.policy)
        return out

    def run(self):
        drive(random.sample(self.files, len(self.files)), self.views, self.threads)


def drive(files, task, threads):
    """Passes the files through a pipeline, some a task. A task that fails is only
    logged by SPDL, and must not count as work done."""
    from spdl.pipeline import PipelineBuilder

    shares = [files[i : i + SHARE] for i in range(0, len(files), SHARE)]
    pipeline = PipelineBuilder().add_source(shares).pipe(task, concurrency=threads).add_sink(2 * threads).build(num_threads=threads)
    with pipeline.auto_stop():
        done = sum(1 for _ in pipeline)
    if done != len(shares):
        raise RuntimeError(f"SPDL has done {done} of {len(shares)} tasks")
