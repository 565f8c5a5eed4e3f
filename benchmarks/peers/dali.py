"""DALI's CPU pipelines: decoding, and pairs of views."""
import numpy as np
from nvidia.dali import fn, pipeline_def, types

DEPTH = 2  # batches under way, DALI's default


def images():
    return fn.decoders.image(fn.external_source(name="files", dtype=types.UINT8, ndim=1, no_copy=True), device="cpu")


@pipeline_def(device_id=None, prefetch_queue_depth=DEPTH)
def decoding():
    return images()


def view(image, size, policy):
    """A view by DALI's own operators. Apart from clpipe's policy: the colour
    operators are one matrix in a fixed order, contrast turns about a fixed grey
    instead of the image's mean, and grey is a saturation of 0."""
    v = fn.random_resized_crop(image, size=size, random_area=policy.scale, random_aspect_ratio=[3 / 4, 4 / 3], interp_type=types.INTERP_LINEAR, antialias=True)
    jittered, coloured = fn.random.coin_flip(probability=policy.jitter), 1 - fn.random.coin_flip(probability=policy.gray)
    around = lambda strength: 1 + jittered * fn.random.uniform(range=[-strength, strength])
    v = fn.color_twist(v, brightness=around(policy.strength), contrast=around(policy.strength), saturation=coloured * around(policy.strength),
                       hue=jittered * fn.random.uniform(range=[-360 * policy.hue, 360 * policy.hue]))
    if policy.blur > 0:
        if fn.random.coin_flip(probability=policy.blur, dtype=types.BOOL):
            v = fn.gaussian_blur(v, sigma=fn.random.uniform(range=policy.sigma))
    return fn.flip(v, horizontal=fn.random.coin_flip())


@pipeline_def(device_id=None, prefetch_queue_depth=DEPTH, enable_conditionals=True)
def pairs(size, policy):
    # One decode for both views is faster than two of random regions.
    image = images()
    return view(image, size, policy), view(image, size, policy)


class Epoch:
    """Runs a pipeline over files in memory, once a call."""

    def __init__(self, files, batch, make, threads):
        batch = min(batch, -(-len(files) // DEPTH))
        files = [np.frombuffer(f, np.uint8) for f in files]
        self.batches = [files[i : i + batch] for i in range(0, len(files), batch)]
        self.pipe = make(batch_size=batch, num_threads=threads)
        self.pipe.build()
        self.fresh = True

    def feed(self, i):
        if i < len(self.batches):
            self.pipe.feed_input("files", self.batches[i])
            self.pipe.schedule_run()

    def run(self):
        if self.fresh:  # the first call of schedule_run starts DEPTH batches
            for i in range(DEPTH):
                self.pipe.feed_input("files", self.batches[i])
            self.pipe.schedule_run()
            self.fresh = False
        else:
            for i in range(DEPTH):
                self.feed(i)
        for i in range(len(self.batches)):
            self.pipe.share_outputs()
            self.pipe.release_outputs()
            self.feed(i + DEPTH)
