"""The MoCo step of moco_step.py in JAX, compiled by XLA: ResNet-18, NHWC.

One jitted function makes the step, with its state donated, so that XLA may
update in place. JAX decides about threads by the processors it may use: the
process is bound to as many.
"""
import argparse, os

p = argparse.ArgumentParser()
p.add_argument("--threads", type=int, default=2)
p.add_argument("--encoder", choices=["resnet18-cifar", "resnet18"], default="resnet18-cifar")
p.add_argument("--width", type=float, default=1)
p.add_argument("--batch", type=int, default=128)
p.add_argument("--size", type=int, default=32)
p.add_argument("--queue", type=int, default=4096)
a = p.parse_args()
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:a.threads])

import functools  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax import lax  # noqa: E402

import worker  # noqa: E402

DIM, MEAN, STD = 128, np.array([0.4914, 0.4822, 0.4465], np.float32), np.array([0.2023, 0.1994, 0.2010], np.float32)
WIDTHS = [max(1, round(w * a.width)) for w in (64, 128, 256, 512)]


def initial(rng):
    params = {}

    def conv(name, cin, cout, k):
        params[name] = rng.standard_normal((k, k, cin, cout), np.float32) * (2 / (cout * k * k)) ** 0.5
        params[name + ".gamma"], params[name + ".beta"] = np.ones(cout, np.float32), np.zeros(cout, np.float32)

    conv("stem", 3, WIDTHS[0], 3 if a.encoder == "resnet18-cifar" else 7)
    cin = WIDTHS[0]
    for i, cout in enumerate(WIDTHS):
        for j in range(2):
            conv(f"{i}.{j}.1", cin, cout, 3)
            conv(f"{i}.{j}.2", cout, cout, 3)
            if cin != cout:
                conv(f"{i}.{j}.down", cin, cout, 1)
            cin = cout
    params["fc"], params["fc.beta"] = rng.standard_normal((cin, DIM), np.float32) * cin**-0.5, np.zeros(DIM, np.float32)
    return {k: jnp.asarray(v) for k, v in params.items()}


def running():
    """The running means and variances, by the name of their convolution."""
    return {k: jnp.stack([jnp.zeros(v.shape[-1]), jnp.ones(v.shape[-1])]) for k, v in initial(np.random.default_rng(0)).items() if v.ndim == 4}


def encode(params, stats, pixels):
    """Returns unit embeddings and the moved statistics."""
    moved = {}

    def conv(name, x, stride, pad):
        x = lax.conv_general_dilated(x, params[name], (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        n = x.size // x.shape[-1]
        moved[name] = 0.9 * stats[name] + 0.1 * lax.stop_gradient(jnp.stack([mean, var * (n / (n - 1))]))
        return (x - mean) * (params[name + ".gamma"] * lax.rsqrt(var + 1e-5)) + params[name + ".beta"]

    x = (pixels.astype(jnp.float32) / 255 - MEAN) / STD
    if a.encoder == "resnet18-cifar":
        x = jax.nn.relu(conv("stem", x, 1, 1))
    else:
        x = jax.nn.relu(conv("stem", x, 2, 3))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)])
    for i in range(4):
        for j in range(2):
            stride = 2 if i > 0 and j == 0 else 1
            y = conv(f"{i}.{j}.2", jax.nn.relu(conv(f"{i}.{j}.1", x, stride, 1)), 1, 1)
            x = jax.nn.relu(y + (conv(f"{i}.{j}.down", x, stride, 0) if f"{i}.{j}.down" in params else x))
    z = x.mean((1, 2)) @ params["fc"] + params["fc.beta"]
    return z / jnp.maximum(jnp.linalg.norm(z, axis=1, keepdims=True), 1e-12), moved


@functools.partial(jax.jit, donate_argnums=0)
def step(state, anchor, positive):
    query, key, velocity, query_stats, key_stats, queue, at = state
    key = jax.tree.map(lambda k, q: k + 0.01 * (q - k), key, query)
    k, key_stats = encode(key, key_stats, positive)

    def loss(query):
        q, moved = encode(query, query_stats, anchor)
        logits = jnp.concatenate([(q * k).sum(1, keepdims=True), q @ queue.T], 1) / 0.1
        return (jax.nn.logsumexp(logits, axis=1) - logits[:, 0]).mean(), moved

    (value, query_stats), grads = jax.value_and_grad(loss, has_aux=True)(query)
    velocity = jax.tree.map(lambda v, g, w: 0.9 * v + g + 5e-4 * w, velocity, grads, query)
    query = jax.tree.map(lambda w, v: w - 0.03 * v, query, velocity)
    queue = queue.at[(at + jnp.arange(a.batch)) % a.queue].set(k)
    return (query, key, velocity, query_stats, key_stats, queue, (at + a.batch) % a.queue), value


def main():
    rng = np.random.default_rng(0)
    query = initial(rng)
    queue = rng.standard_normal((a.queue, DIM), np.float32)
    queue /= np.linalg.norm(queue, axis=1, keepdims=True)
    copied = jax.tree.map(jnp.copy, query)
    state = (query, copied, jax.tree.map(jnp.zeros_like, query), running(), running(), jnp.asarray(queue), jnp.int32(0))
    views = [jnp.asarray(rng.integers(0, 256, (a.batch, a.size, a.size, 3), np.uint8)) for _ in range(2)]

    def once():
        nonlocal state
        state, value = step(state, *views)
        return float(value)

    worker.serve([("total", a.batch, once)], jax=jax.__version__)


if __name__ == "__main__":
    main()
