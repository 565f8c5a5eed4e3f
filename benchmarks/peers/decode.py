"""JPEG files in memory to RGB pixels, by Pillow or torchvision, in processes."""
import argparse, io, multiprocessing
import numpy as np
import torch, torchvision
import PIL
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

import shards, worker


def pillow(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def vision(tensor):
    return decode_jpeg(tensor, mode=ImageReadMode.RGB)


def share(index):
    """The work of one process: every n-th file."""
    for file in FILES[index::PROCESSES]:
        DECODE(file)


def main():
    global FILES, PROCESSES, DECODE
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--src", required=True)
    p.add_argument("--limit", type=int, default=256)
    p.add_argument("--by", choices=["pillow", "torchvision"], required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    FILES, PROCESSES, DECODE = shards.files(a.src, a.limit), a.threads, pillow
    if a.by == "torchvision":
        FILES, DECODE = [torch.frombuffer(bytearray(f), dtype=torch.uint8) for f in FILES], vision
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        worker.serve([("total", len(FILES), lambda: pool.map(share, range(PROCESSES), chunksize=1))],
                     pillow=PIL.__version__, torchvision=torchvision.__version__)


if __name__ == "__main__":
    main()
