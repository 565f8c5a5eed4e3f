"""clpipe beside its peers: the same input, cores and precision, in turn.

Every peer is a process of its own (peers/*.py) that is started and warmed up
before anything is measured. Then rounds follow: in each the program runs, and
after it each peer, so that whatever else the machine does meets all of them.
The raw throughputs go to a JSON file, which tables.py turns into RESULTS.md.

    bash benchmarks/run.sh                    # venv, build, all suites, tables
    python benchmarks/compare.py --binary ./clpipe --suites loss gemm
"""
import argparse, datetime, json, os, pathlib, platform, shutil, subprocess, sys, tempfile

import store

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = ROOT.parent / "shared" / "data"
# glibc gives large blocks back to the system and faults them in again at every
# step; with thresholds this high it keeps them.
RAISED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


def moco(name, title, threads, width=1, encoder="resnet18-cifar", size=32, batch=128, compiled=False, nchw=True):
    network = ["--encoder", encoder, "--size", size, "--width", width, "--batch", batch, "--queue", 4096]
    layouts = [("PyTorch eager, channels last", ["--channels-last"])]
    if nchw:
        layouts.insert(0, ("PyTorch eager, NCHW", []))
    peers = []
    for label, args in layouts:
        peers.append((label, "moco_step.py", [*network, *args], {}))
        peers.append((label + ", malloc raised", "moco_step.py", [*network, *args], RAISED))
    if compiled:
        peers.append(("PyTorch compiled, channels last, malloc raised", "moco_step.py", [*network, "--channels-last", "--compile"], RAISED))
    if encoder != "resnet50":
        peers.append(("JAX, compiled by XLA", "moco_step_jax.py", network, {}))
    return dict(name=name, title=title, threads=threads, runs=1, ours=["train", *network, "--split-bn", 1, "--head", "linear"], peers=peers)


CONVOLUTIONS = (
    "A pass by itself, without bias; the total is one forward and one backward pass of all layers, none of them to the gradient of the pixels. "
    "Operations are counted by the definition, of which Winograd's algorithm does a part. "
    "Not timed: the packing of weights by clpipe, Winograd's transform of them included, and every reordering by oneDNN, which keeps each operand "
    "in the layout that it chooses for the pass. Timed: Winograd's transforms of activations, and clpipe's weight gradient in the plain layout of "
    "the weights; all that PyTorch does in a call on channels-last tensors, any reordering of the weights and the memory of the result included."
)


def convolutions(name, title, width=1):
    peers = [("oneDNN, its own layouts", "conv.py", ["--cases", "{cases}", "--by", "onednn"], {})]
    for label, env in (("PyTorch, channels last", {}), ("PyTorch, channels last, malloc raised", RAISED)):
        peers.append((label, "conv.py", ["--cases", "{cases}", "--by", "torch"], env))
    return dict(name=name, title=title, note=CONVOLUTIONS, threads=2, ours=["conv", "--encoder", "resnet18-cifar", "--width", width, "--batch", 128], peers=peers)


def decoding(name, pattern, limit):
    source = ["--src", pattern, "--limit", limit]
    by = (("libjpeg-turbo of the system, loop in C", "libjpeg-turbo"), ("libjpeg-turbo of Pillow's wheel, loop in C", "libjpeg-turbo-new"), ("simplejpeg", "simplejpeg"),
          ("OpenCV", "opencv"), ("torchvision decode_jpeg", "torchvision"), ("Pillow", "pillow"), ("DALI, CPU", "dali"), ("SPDL (FFmpeg)", "spdl"))
    ours = ["decode", *source]
    return [dict(name=f"decode-{name}", title=f"JPEG decoding on one core, {pattern.parent.name}", threads=1, ours=ours,
                 peers=[(label, "decode.py", [*source, "--by", key], {}) for label, key in by]),
            scaling(f"decode-{name}-scaling", f"Decoding on two workers beside one, {pattern.parent.name}", ours)]


def augmenting(name, pattern, limit, long, policy, size):
    """Beside peers on so many files; scaling on more, so that the filling of the shuffle buffer, which is reading, is a small part."""
    args = ["--src", pattern, "--policy", policy, "--size", size]
    ours = lambda files: ["augment", *args, "--limit", files, "--batch", 64 if size > 96 else 256]
    kinds = [("OpenCV without antialiasing, DataLoader", "opencv", 64), ("OpenCV without antialiasing, SPDL's threads", "spdl", 64),
             ("DALI, CPU", "dali", 32 if size > 96 else 256),
             ("FFCV, no hue, grey or blur", "ffcv", 64), ("torchvision on Pillow, DataLoader", "pil", 64), ("torchvision v2 on tensors, DataLoader", "tensor", 64)]
    if size > 96:  # small crops are made larger
        kinds.insert(0, ("OpenCV, DataLoader", "opencv-area", 64))
    return [dict(name=f"augment-{name}", title=f"Files to pairs, {policy}, {size} px, {pattern.parent.name}", threads=2, ours=ours(limit), parts=True,
                 peers=[(label, "augment.py", [*args, "--limit", limit, "--kind", kind, "--batch", batch], {}) for label, kind, batch in kinds]),
            scaling(f"augment-{name}-scaling", f"Files to pairs on two workers beside one, {policy}, {size} px", ours(long))]


def feeding(name, title, pattern, policy, size, batch):
    args = ["--src", pattern, "--policy", policy, "--size", size, "--batch", batch]
    return dict(name=f"feed-{name}", title=title, threads=2, unit="pairs/s", script=("feed.py", [*args, "--by", "clpipe", "--binary", "{binary}"]),
                peers=[("webdataset, torchvision on Pillow, DataLoader", "feed.py", [*args, "--by", "webdataset", "--kind", "pil"], {}),
                       ("webdataset, torchvision v2 on tensors, DataLoader", "feed.py", [*args, "--by", "webdataset", "--kind", "tensor"], {})])


def scaling(name, title, ours):
    """The program on two workers beside itself on one, held to one core or with the stages beside it on the other."""
    return dict(name=name, title=title, threads=2, ours=ours,
                peers=[("clpipe on one worker and one core", None, ours, {"cores": 1}), ("clpipe on one worker and two cores", None, ours, {})])


def suites(quick, compiled):
    cifar, photos = DATA / "cifar10" / "train-*.tar", DATA / "imagenet-sample" / "train-*.tar"
    many, few = (64, 16) if quick else (2048, 256)
    out = [
        moco("step", "MoCo step, ResNet-18 (CIFAR stem), 32 px, batch 128, queue 4,096, fp32", 2, compiled=compiled),
        moco("step-1-thread", "The same on one thread", 1, compiled=compiled, nchw=False),
        moco("step-width-0.25", "The same at width 0.25, two threads", 2, 0.25, compiled=compiled),
        moco("step-224", "MoCo step, ResNet-18, 224 px, batch 32, queue 4,096, fp32", 2, encoder="resnet18", size=224, batch=32, compiled=compiled),
        moco("step-resnet50-224", "MoCo step, ResNet-50, 224 px, batch 16, queue 4,096, fp32", 2, encoder="resnet50", size=224, batch=16, compiled=compiled),
        dict(name="gemm", title="Matrix products", threads=2, ours=["gemm", "--batch", 256, "--queue", 4096],
             peers=[("torch.mm", "gemm.py", ["--cases", "{cases}"], {})]),
        convolutions("conv", "Convolutions of ResNet-18 (CIFAR stem), 32 px, batch 128, fp32: packing of weights not timed"),
        convolutions("conv-width-0.25", "The same at width 0.25", 0.25),
        dict(name="loss", title="InfoNCE forward and backward, N=256, D=128, K=65,536", threads=2, ours=["loss"],
             peers=[("PyTorch", "infonce.py", [], {}), ("PyTorch, malloc raised", "infonce.py", [], RAISED)]),
    ]
    for name, pattern, limit in (("photos", photos, few), ("cifar", cifar, many)):
        out += decoding(name, pattern, limit)
    for name, pattern, limit, long, policy, size in (("photos", photos, few, few, "moco-v2", 224), ("cifar", cifar, 2 * many, 20 * many, "moco-cifar", 32)):
        out += augmenting(name, pattern, limit, long, policy, size)
        out.append(feeding(name, f"Pairs that a PyTorch loop receives, from shards on disk, {policy}, {size} px", pattern, policy, size, 16 if quick else 64))
    stream = ["stream"]
    out.append(dict(name="pipe", title="Records of pairs from a process to another through one pipe of 1 MiB", threads=2, ours=stream,
                    peers=[("pyarrow", "pipe.py", [], {}), ("pyarrow, malloc raised", "pipe.py", [], RAISED)]))
    out.append(dict(name="handoff", title="The same beside the handoff of a PyTorch DataLoader's worker", threads=2, ours=stream,
                    peers=[("DataLoader, new batches", "handoff.py", [], {}),
                           ("DataLoader, handles of batches in shared memory already", "handoff.py", ["--shared"], {})]))
    run = ["--binary", "{binary}", "--src", cifar, "--steps", *((2, 4) if quick else (4, 36))]
    out.append(dict(name="pipeline", title="From shards to weights: ingest, augment and train in three processes beside one; width 0.25, batch 256", threads=2,
                    runs=1, script=("pipeline.py", [*run, "--processes", 3]), unit="pairs/s",
                    peers=[("clpipe in one process", "pipeline.py", [*run, "--processes", 1], {})]))
    for name, what, epochs in (("photos", "shards of 64 MiB", 16), ("thumbnails", "shards of 12 MiB, 32 px", 48)):
        args = ["--prefix", name + "/", "--bytes", "{" + name + "}", "--epochs", 1 if quick else epochs]
        out.append(dict(name=f"s3-{name}", title=f"Reading from an S3 store on loopback, {name} in {what}", threads=2, store=True,
                        script=("s3.py", ["--by", "clpipe", "--binary", "{binary}", *args]), unit="MB/s",
                        peers=[("the SDK's client (Go), bytes dropped", "s3.py", ["--by", "sdk", "--binary", "{s3bare}", *args], {}),
                               ("the same, 512 MiB of them kept as in a shuffle buffer", "s3.py", ["--by", "sdk", "--keep", 512, "--binary", "{s3bare}", *args], {}),
                               ("boto3, bytes dropped", "s3.py", ["--by", "boto3", *args], {})]))
    return out


class Program:
    """clpipe: a process for every turn, its own warm-up left out by itself."""

    def __init__(self, binary, args, threads, cores=None):
        self.command = [binary, "bench", *map(str, args), "--workers", str(threads), "--json", "--quiet"]
        self.hold = cores and (lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]))
        self.lines = []
        self.resident = 0  # bytes of memory at most, of all turns

    def measure(self, runs):
        command = [*self.command, "--runs", str(runs)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=self.hold) as process:
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        self.resident = max(self.resident, usage.ru_maxrss * 1024)
        self.lines = [json.loads(line) for line in output.splitlines()]
        return {line["case"]: line["runs"] for line in self.lines if "/" not in line["case"] or "shape" in line}

    facts = {}

    def close(self):
        pass


class Peer:
    def __init__(self, script, args, threads, env):
        command = [sys.executable, str(HERE / "peers" / script), "--threads", str(threads), *map(str, args)]
        # How OpenMP waits stays its own choice: told to be passive, torch.mm on two
        # threads is half as fast.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": str(threads), **env})
        self.facts = self.answer()
        if "left_out" in self.facts:
            raise RuntimeError(self.facts["left_out"])

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{pathlib.Path(self.process.args[1]).name} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def measure(self, runs):
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        return self.answer()

    @property
    def resident(self):
        """Bytes of memory at most so far, libraries included; 0 where the system does not tell."""
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(binary, suite, rounds, runs):
    """Returns {label: {case: throughputs}}, the program first, and versions."""
    with tempfile.TemporaryDirectory() as scratch:
        if "store" not in suite:
            return measure(binary, suite, rounds, runs, {}, {})
        s3bare = str(pathlib.Path(binary).parent / "s3bare")
        shards = store.Store(binary, versitygw(), s3bare, DATA, scratch)
        try:
            filled = {"{s3bare}": s3bare, **{"{" + name + "}": n for name, n in shards.bytes.items()}}
            return measure(binary, suite, rounds, runs, filled, shards.environment)
        finally:
            shards.close()


def versitygw():
    """The S3 server that run.sh installs, or one on PATH."""
    own = HERE / ".bin" / "versitygw"
    return str(own) if own.exists() else shutil.which("versitygw")


def measure(binary, suite, rounds, runs, filled, environment):
    filled = {"{binary}": binary, **filled}
    fill = lambda args: [filled.get(a, a) if isinstance(a, str) else a for a in args]
    if "script" in suite:  # whole runs of the program, driven as a peer is
        script, drive = suite["script"]
        program = Peer(script, fill(drive), suite["threads"], environment)
    else:
        program = Program(binary, suite["ours"], suite["threads"])
    throughputs, versions, left_out, members = {}, {}, {}, [("clpipe", program)]
    with tempfile.TemporaryDirectory() as scratch:
        cases = pathlib.Path(scratch) / "cases.jsonl"
        if any("{cases}" in args for _, _, args, _ in suite["peers"]):
            program.measure(1)
            cases.write_text("".join(json.dumps(line) + "\n" for line in program.lines))
        try:
            for label, source, args, env in suite["peers"]:
                args = [cases if a == "{cases}" else a for a in fill(args)]
                try:
                    if source is None:
                        peer = Program(binary, args, 1, **env)
                    else:  # a library of an interrupted run may be half written
                        peer = Peer(source, args, suite["threads"], {"TORCHINDUCTOR_CACHE_DIR": scratch, **environment, **env})
                except RuntimeError as reason:  # torch.compile where no C++ compiler is: the others are measured still
                    left_out[label] = str(reason)
                    print(f"{suite['name']}: {label} is left out: {reason}", file=sys.stderr, flush=True)
                    continue
                members.append((label, peer))
                versions.update(peer.facts)
            for number in range(rounds):
                for label, member in members:
                    for case, rates in member.measure(runs).items():
                        throughputs.setdefault(label, {}).setdefault(case, []).extend(rates)
                resident = {label: member.resident for label, member in members}
                print(f"{suite['name']}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        finally:
            for _, member in members:
                member.close()
    if "script" in suite:
        facts = dict(unit=suite["unit"], command=" ".join(["python", f"benchmarks/peers/{script}", *map(str, drive)]).replace("{binary}", "clpipe"))
    else:
        total = program.lines[-1]
        facts = dict(unit=total["unit"], kernel=total["kernel"], arena_bytes=total.get("arena_bytes"), command=" ".join(["clpipe", *program.command[1:]]),
                     unit_bytes={line["case"]: line["unit_bytes"] for line in program.lines if "unit_bytes" in line})
    if "store" in suite:  # which only runs here
        facts["command"] = f"python benchmarks/compare.py --binary clpipe --suites {suite['name']}"
    facts["command"] = facts["command"].replace(f"{ROOT.parent}/", "../")
    return dict(name=suite["name"], title=suite["title"], note=suite.get("note"), threads=suite["threads"], parts=suite.get("parts", False), throughputs=throughputs,
                resident_bytes=resident, left_out=left_out, **facts), versions


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", required=True)
    p.add_argument("--suites", nargs="+", help="default all")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--runs", type=int, default=3, help="in a round, of all but whole training steps, which take seconds: one")
    p.add_argument("--compile", action="store_true", help="also torch.compile, which takes some minutes to warm up")
    p.add_argument("--quick", action="store_true", help="few images: to try the harness")
    p.add_argument("--output", default=str(HERE / "results" / "compare.json"))
    a = p.parse_args()
    binary = os.path.abspath(a.binary)
    chosen = [s for s in suites(a.quick, a.compile) if not a.suites or s["name"] in a.suites]
    unknown = set(a.suites or []) - {s["name"] for s in chosen}
    if unknown:
        sys.exit(f"no suite is called {', '.join(sorted(unknown))}: want {', '.join(s['name'] for s in suites(False, False))}")
    doctor = json.loads(subprocess.run([binary, "doctor", "--json"], stdout=subprocess.PIPE, text=True, check=True).stdout)
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    result = dict(date=datetime.date.today().isoformat(), commit=commit, command=" ".join(["python benchmarks/compare.py", *sys.argv[1:]]),
                  processor=processor(), cores=os.cpu_count(), kernels=doctor["kernels"], load=os.getloadavg(),
                  versions=dict(go=doctor["go"], python=platform.python_version()), suites=[])
    output = pathlib.Path(a.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    for suite in chosen:
        if ("store" in suite or "--src" in suite.get("ours", suite.get("script", [None, []])[1])) and not DATA.exists():
            print(f"{suite['name']}: left out, there is no {DATA}", file=sys.stderr)
            continue
        if "store" in suite and not versitygw():
            print(f"{suite['name']}: left out, versitygw is neither in {HERE / '.bin'} nor on PATH", file=sys.stderr)
            continue
        measured, versions = compare(binary, suite, a.rounds, suite.get("runs", a.runs))
        result["suites"].append(measured)
        result["versions"].update(versions)
        output.write_text(json.dumps(result, indent=1))  # after every suite: an interrupted run keeps what it has


if __name__ == "__main__":
    main()
