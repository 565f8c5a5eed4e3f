"""Pairs by FFCV's loader, over a file that it writes from the same images.

Apart from clpipe's policy: FFCV has no operators for hue, grey and blur, so its
views go without them; it reads its own file, in which the images are JPEG of
quality 95; each view is decoded apart, as its pipelines do.
"""
import io, os, tempfile
import numpy as np
from PIL import Image

import ffcv.fields
from ffcv.fields.decoders import RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline import PipelineSpec
from ffcv.transforms import RandomBrightness, RandomContrast, RandomHorizontalFlip, RandomSaturation, ToTensor
from ffcv.writer import DatasetWriter


class Images:
    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return (np.asarray(Image.open(io.BytesIO(self.files[i])).convert("RGB")),)


class Pairs:
    def __init__(self, files, policy, size, batch, threads):
        self.scratch = tempfile.TemporaryDirectory()
        path = os.path.join(self.scratch.name, "images.beton")
        DatasetWriter(path, {"image": ffcv.fields.RGBImageField(write_mode="jpg", jpeg_quality=95)}, num_workers=1).from_indexed_dataset(Images(files))

        def view():
            colours = [op(policy.strength, policy.jitter) for op in (RandomBrightness, RandomContrast, RandomSaturation)]
            return [RandomResizedCropRGBImageDecoder((size, size), scale=policy.scale), *colours, RandomHorizontalFlip(policy.flip), ToTensor()]

        pipelines = {"image": view(), "positive": PipelineSpec("image", transforms=view())}
        self.loader = Loader(path, batch_size=batch, num_workers=threads, order=OrderOption.RANDOM, drop_last=False, pipelines=pipelines)

    def run(self):
        for _ in self.loader:
            pass
