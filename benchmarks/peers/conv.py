"""Convolutions at the shapes that clpipe's bench measured, lines of its --json in a file, each pass by itself."""
import argparse, json, re

import worker

PASSES = "forward", "data gradient", "weight gradient"


def dimensions(shape):
    """The shape of the bench's JSON with the kernel's height and width apart."""
    return {**{k: shape[k] for k in ("n", "h", "w", "c", "o", "stride", "pad")}, "kh": shape["kernel"], "kw": shape.get("kernel_width", shape["kernel"])}


def output(d):
    """Height and width of what the convolution makes."""
    return tuple((d[side] + 2 * d["pad"] - d[kernel]) // d["stride"] + 1 for side, kernel in (("h", "kh"), ("w", "kw")))


def gflop(d):
    """By the definition, as the bench counts them: two a product, either gradient as many."""
    oh, ow = output(d)
    return 2e-9 * d["n"] * oh * ow * d["o"] * d["c"] * d["kh"] * d["kw"]


def by_torch(threads):
    import torch

    torch.set_num_threads(threads)

    def convolution(name, d):
        x, w, dy = (torch.rand(size).to(memory_format=torch.channels_last)
                    for size in ((d["n"], d["c"], d["h"], d["w"]), (d["o"], d["c"], d["kh"], d["kw"]), (d["n"], d["o"], *output(d))))
        stride, pad = [d["stride"]] * 2, [d["pad"]] * 2
        if name == "forward":
            return lambda: torch.conv2d(x, w, None, stride, pad)
        wanted = [name == "data gradient", name == "weight gradient", False]
        return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, stride, pad, [1, 1], False, [0, 0], 1, wanted)

    carried = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    return convolution, lambda: {"torch": torch.__version__, "oneDNN of torch": carried[1] if carried else "none"}


def by_onednn(_):  # whose threads OMP_NUM_THREADS sets
    import onednn

    try:
        library = onednn.OneDNN()
    except OSError as reason:
        worker.leave_out(str(reason))
    return library.convolution, library.facts


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cases", required=True)
    p.add_argument("--by", choices=("onednn", "torch"), required=True)
    a = p.parse_args()
    convolution, facts = {"onednn": by_onednn, "torch": by_torch}[a.by](a.threads)
    cases, counts = [], {}
    for case in filter(lambda c: "shape" in c, map(json.loads, open(a.cases))):
        d, name = dimensions(case["shape"]), next(name for name in PASSES if case["case"].endswith(name))
        cases.append((case["case"], gflop(d), convolution(name, d)))
        counts[case["case"]] = case["count"]
    worker.serve(cases, warm=2, counts=counts, **facts())


if __name__ == "__main__":
    main()
