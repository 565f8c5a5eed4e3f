"""libjpeg-turbo in a loop in C, jpeg_loop.c, on threads.

With a compiler and jpeglib.h at hand the loop is compiled against the library
asked for. Without, the system's libturbojpeg is called file by file through
ctypes, which costs a microsecond or two each.
"""
import ctypes, ctypes.util, glob, os, pathlib, subprocess, tempfile
from concurrent.futures import ThreadPoolExecutor

import PIL
from PIL import features

HERE = pathlib.Path(__file__).resolve().parent


def pillows_library():
    """The newer libjpeg-turbo that Pillow's wheel carries, or None."""
    found = glob.glob(str(pathlib.Path(PIL.__file__).parent.parent / "pillow.libs" / "libjpeg-*.so*"))
    return found[0] if found else None


def compiled(library):
    """The loop linked to a library's path, or to the system's, and versions."""
    with tempfile.TemporaryDirectory() as scratch:
        loop = os.path.join(scratch, "loop.so")
        link = ["-ljpeg"] if library is None else [library, f"-Wl,-rpath,{os.path.dirname(library)}"]
        done = subprocess.run(["cc", "-O3", "-shared", "-fPIC", str(HERE / "jpeg_loop.c"), "-o", loop, *link], capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(done.stderr.strip().splitlines()[0])
        opened = ctypes.CDLL(loop)
    opened.header_version.restype = ctypes.c_char_p
    if library is None:
        return opened, {"libjpeg-turbo of the system": opened.header_version().decode()}
    return opened, {"libjpeg-turbo of Pillow's wheel": features.version_feature("libjpeg_turbo")}


class Loop:
    """The compiled loop over files."""

    def __init__(self, files, threads, library):
        self.library, self.facts = compiled(library)
        self.files = (ctypes.c_char_p * len(files))(*files)
        self.sizes = (ctypes.c_ulong * len(files))(*map(len, files))
        self.pool, self.threads, self.held = ThreadPoolExecutor(threads), threads, files

    def share(self, first):
        if self.library.decode_files(self.files, self.sizes, len(self.held), first, self.threads) < 0:
            raise ValueError("libjpeg-turbo refuses one of the files")

    def run(self):
        list(self.pool.map(self.share, range(self.threads)))


class TurboJPEG:
    """libturbojpeg through ctypes, where nothing can be compiled."""

    RGB = 0

    def __init__(self, files, threads):
        name = ctypes.util.find_library("turbojpeg")
        if name is None:
            raise OSError("no C compiler with jpeglib.h, and no libturbojpeg")
        self.library = ctypes.CDLL(name)
        self.library.tjInitDecompress.restype = ctypes.c_void_p
        self.facts = {"libjpeg-turbo of the system": f"{name} through ctypes"}
        self.files, self.pool, self.threads = files, ThreadPoolExecutor(threads), threads

    def share(self, first):
        handle = ctypes.c_void_p(self.library.tjInitDecompress())
        w, h, sampling = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        pixels = b""
        for file in self.files[first :: self.threads]:
            size = ctypes.c_ulong(len(file))
            self.library.tjDecompressHeader2(handle, file, size, ctypes.byref(w), ctypes.byref(h), ctypes.byref(sampling))
            if 3 * w.value * h.value > len(pixels):
                pixels = ctypes.create_string_buffer(3 * w.value * h.value)
            self.library.tjDecompress2(handle, file, size, pixels, w, 0, h, self.RGB, 0)
        self.library.tjDestroy(handle)

    def run(self):
        list(self.pool.map(self.share, range(self.threads)))


def loop(files, threads, library):
    try:
        return Loop(files, threads, library)
    except OSError as reason:
        if library is not None:
            raise
        turbo = TurboJPEG(files, threads)
        turbo.facts = {name: f"{version} as the loop in C cannot be compiled ({reason})" for name, version in turbo.facts.items()}
        return turbo
