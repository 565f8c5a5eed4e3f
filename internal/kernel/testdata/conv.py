"""Writes conv.json: convolutions and their gradients by PyTorch.

    python conv.py > conv.json

Inputs are multiples of 1/8, so that their products and sums are exact in
float32 and the file stays small. Images are NHWC, weights HWIO.
"""

import json
import platform

import torch

SEED = 1
SHAPES = [  # n, h, w, c, o, kernel, stride, pad
    (1, 5, 6, 16, 16, 3, 1, 1),
    (2, 7, 6, 3, 5, 3, 2, 1),
    (2, 5, 4, 19, 6, 1, 2, 0),
    (1, 9, 9, 3, 4, 7, 2, 3),
]

torch.set_num_threads(1)
torch.manual_seed(SEED)


def eighths(*shape):
    return (torch.randint(-8, 9, shape) / 8).requires_grad_()


def flat(t, *order):
    return [v + 0.0 for v in t.detach().permute(*order).flatten().tolist()]


cases = []
for n, h, w, c, o, k, s, p in SHAPES:
    x, weight = eighths(n, c, h, w), eighths(o, c, k, k)
    y = torch.nn.functional.conv2d(x, weight, stride=s, padding=p)
    dy = eighths(*y.shape)
    y.backward(dy)
    image, filters = (0, 2, 3, 1), (2, 3, 1, 0)
    cases.append({
        "shape": {"N": n, "H": h, "W": w, "C": c, "O": o, "KH": k, "KW": k, "Stride": s, "Pad": p},
        "x": flat(x, *image), "w": flat(weight, *filters), "dy": flat(dy, *image),
        "y": flat(y, *image), "dx": flat(x.grad, *image), "dw": flat(weight.grad, *filters),
    })

print(json.dumps({
    "made": f"python conv.py > conv.json; Python {platform.python_version()}, torch {torch.__version__}, seed {SEED}",
    "cases": cases,
}, separators=(",", ":")))
