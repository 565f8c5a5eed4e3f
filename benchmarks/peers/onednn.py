"""oneDNN by its own API, onednn_conv.cpp, compiled against the wheels of optional.txt."""
import ctypes, os, pathlib, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent


class Shape(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("n", "h", "w", "c", "o", "kh", "kw", "stride", "pad")]


class OneDNN:
    """Raises OSError where there is no library, no header or no compiler."""

    def __init__(self):
        prefix = pathlib.Path(sys.prefix)
        source, library, header = HERE / "onednn_conv.cpp", prefix / "lib" / "libdnnl.so.3", prefix / "include" / "dnnl.hpp"
        for file in (library, header):
            if not file.exists():
                raise OSError(f"the interpreter has no {file.parent.name}/{file.name}: install onednn-devel-cpu-gomp as in peers/optional.txt")
        with tempfile.TemporaryDirectory() as scratch:
            built = os.path.join(scratch, "onednn.so")
            done = subprocess.run(["c++", "-std=c++17", "-O2", "-shared", "-fPIC", f"-I{header.parent}", str(source), str(library),
                                   f"-Wl,-rpath,{library.parent}", "-o", built], capture_output=True, text=True)
            if done.returncode != 0:
                raise OSError(f"onednn_conv.cpp cannot be compiled: {done.stderr.strip().splitlines()[0]}")
            self.library = ctypes.CDLL(built)
        self.library.onednn_version.restype = ctypes.c_char_p
        self.library.onednn_pass.restype = ctypes.c_void_p
        self.library.onednn_implementation.argtypes = self.library.onednn_run.argtypes = [ctypes.c_void_p]
        self.library.onednn_implementation.restype = ctypes.c_char_p
        self.implementations = set()

    def facts(self):
        """The version, and what the library chose for the convolutions so far."""
        return {"oneDNN": f"{self.library.onednn_version().decode()} by {', '.join(sorted(self.implementations))}"}

    def convolution(self, name, shape):
        """One pass of a convolution as a function without arguments."""
        one = self.library.onednn_pass(name.encode(), ctypes.byref(Shape(**shape)))
        if one is None:
            raise ValueError(f"oneDNN cannot do the {name} of {shape}")
        self.implementations.add(self.library.onednn_implementation(one).decode())

        def run():
            if self.library.onednn_run(one) != 0:
                raise RuntimeError(f"oneDNN failed in the {name} of {shape}")

        return run
