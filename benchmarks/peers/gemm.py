"""torch.mm at the shapes that clpipe's bench measured: lines of its --json in a file."""
import argparse, json
import torch

import worker


def product(shape):
    m, n, k = shape["m"], shape["n"], shape["k"]
    x = torch.rand(k, m).T if shape.get("trans_a") else torch.rand(m, k)
    y = torch.rand(n, k).T if shape.get("trans_b") else torch.rand(k, n)
    out = torch.empty(m, n)
    return 2e-9 * m * n * k, lambda: torch.mm(x, y, out=out)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cases", required=True)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    cases = [json.loads(line) for line in open(a.cases)]
    worker.serve([(c["case"], *product(c["shape"])) for c in cases if "shape" in c], torch=torch.__version__)


if __name__ == "__main__":
    main()
