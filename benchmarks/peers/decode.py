"""JPEG files in memory to RGB pixels, by one of the peers on as many processes or threads."""
import argparse, io, multiprocessing

import shards, worker

BY = ("pillow", "torchvision", "opencv", "simplejpeg", "spdl", "dali", "libjpeg-turbo", "libjpeg-turbo-new")


class Processes:
    """A function on files, every n-th of them in each of n processes."""

    def __init__(self, files, threads, decode):
        Processes.task = files, threads, decode  # the processes inherit it
        self.threads = threads
        self.pool = multiprocessing.get_context("fork").Pool(threads)

    @staticmethod
    def share(index):
        files, threads, decode = Processes.task
        for file in files[index::threads]:
            decode(file)

    def run(self):
        self.pool.map(self.share, range(self.threads), chunksize=1)


def decoder(by, files, threads):
    """The function that decodes all files once, and versions."""
    if by == "pillow":
        import numpy as np
        import PIL
        from PIL import Image

        return Processes(files, threads, lambda f: np.asarray(Image.open(io.BytesIO(f)).convert("RGB"))).run, {"pillow": PIL.__version__}
    if by == "torchvision":
        import torch, torchvision
        from torchvision.io import ImageReadMode, decode_jpeg

        torch.set_num_threads(1)
        files = [torch.frombuffer(bytearray(f), dtype=torch.uint8) for f in files]
        return Processes(files, threads, lambda f: decode_jpeg(f, mode=ImageReadMode.RGB)).run, {"torchvision": torchvision.__version__}
    if by == "opencv":
        cv2 = worker.need("cv2")
        import opencv

        cv2.setNumThreads(1)
        return Processes(files, threads, opencv.decode).run, {"opencv": cv2.__version__}
    if by == "simplejpeg":
        simplejpeg = worker.need("simplejpeg")
        return Processes(files, threads, lambda f: simplejpeg.decode_jpeg(f, "RGB")).run, {"simplejpeg": simplejpeg.__version__}
    if by == "spdl":
        import spdl_views

        return spdl_views.Decoding(files, threads).run, spdl_views.facts()
    if by == "dali":
        version = worker.need("nvidia.dali").__version__
        import dali

        return dali.Epoch(files, 256 if len(files) >= 1024 else 32, dali.decoding, threads).run, {"dali": version}
    import jpeg_loop

    library = None
    if by == "libjpeg-turbo-new":
        library = jpeg_loop.pillows_library() or worker.leave_out("Pillow's wheel carries no libjpeg-turbo here")
    try:
        loop = jpeg_loop.loop(files, threads, library)
    except OSError as reason:
        worker.leave_out(str(reason))
    return loop.run, loop.facts


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--src", required=True)
    p.add_argument("--limit", type=int, default=256)
    p.add_argument("--by", choices=BY, required=True)
    a = p.parse_args()
    files = shards.files(a.src, a.limit)
    run, versions = decoder(a.by, files, a.threads)
    worker.serve([("total", len(files), run)], **versions)


if __name__ == "__main__":
    main()
