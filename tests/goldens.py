"""Golden numbers of independent implementations, and the rules that rebuild weights and images."""

import json
import math
import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "golden"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def values(name):
    """The arrays of `<name>.npz`."""
    return np.load(FOLDER / f"{name}.npz")


def state(name):
    """The state dict whose keys and shapes are in `<name>_keys.json`, filled by the rule."""
    shapes = json.loads((FOLDER / f"{name}_keys.json").read_text())
    return {key: entry(key, shape) for key, shape in shapes.items()}


def entry(key, shape):
    """One weight, drawn from a generator seeded by the CRC-32 of its name."""
    g = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        value = g.uniform(0.5, 1.5, shape)
    elif last in ("running_mean", "bias"):
        value = 0.1 * g.standard_normal(shape)
    elif len(shape) == 1:
        value = 1 + 0.1 * g.standard_normal(shape)
    else:
        value = g.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    return value.astype(np.float32)


def images(seed, n, res, c=3):
    """uint8 [n, res, res, c]: 8x8 coarse cells under noise."""
    g = np.random.Generator(np.random.PCG64(seed))
    low = g.integers(0, 256, (n, 8, 8, c))
    times = -(-res // 8)
    low = low.repeat(times, axis=1).repeat(times, axis=2)[:, :res, :res]
    noise = g.integers(0, 64, (n, res, res, c))
    return np.floor(np.clip(0.75 * low + noise, 0, 255)).astype(np.uint8)
