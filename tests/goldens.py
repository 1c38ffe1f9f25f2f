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


# --- rules of the translation networks (spade, stargan, cyclegan) ---------------------------------


def drawn(key, shape, kind="normal"):
    """float32 numbers of the key's own generator: N(0, 1), or U(0, 1) for kind="uniform"."""
    g = np.random.Generator(np.random.PCG64(zlib.crc32(f"pub9/{key}".encode())))
    return (g.standard_normal(shape) if kind == "normal" else g.uniform(size=shape)).astype(
        np.float32
    )


def weight(path, shape):
    """A weight in PyTorch's layout, by its path "net/layer.weight"."""
    value = drawn(path, shape)
    if path.endswith("bias"):
        return np.float32(0.1) * value
    if len(shape) == 1:
        return np.float32(1) + np.float32(0.1) * value
    return (value.astype(np.float64) * math.sqrt(2 / math.prod(shape[1:]))).astype(np.float32)


def filled(params, places, net, dtype, transposed=(), turned=False):
    """A tree of flax parameters with the golden weights of a network.

    places: {path of a flax leaf, "e0/conv/kernel": name in PyTorch, "main.0.weight"}; transposed:
    those of transposed convolutions, stored turned by 180 degrees where `turned`.
    """
    flat = {}
    for path, leaf in flatten(params).items():
        name, shape = places[path], leaf.shape
        if leaf.ndim != 4:
            flat[path] = weight(f"{net}/{name}", shape)
            continue
        h, w, i, o = shape
        first, second = (i, o) if path in transposed else (o, i)
        value = weight(f"{net}/{name}", (first, second, h, w))
        value = value.transpose((2, 3, 0, 1) if path in transposed else (2, 3, 1, 0))
        flat[path] = value[::-1, ::-1] if turned and path in transposed else value
    assert len(flat) == len(places)
    return tree({path: np.asarray(value, dtype) for path, value in flat.items()})


def flatten(tree, prefix=""):
    """{"a/b": leaf} of nested dicts."""
    flat = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= flatten(value, path + "/") if isinstance(value, dict) else {path: value}
    return flat


def tree(flat):
    tree = {}
    for path, value in flat.items():
        *parents, last = path.split("/")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return tree


def assert_golden(found, stored, name, tolerance):
    """`found`, NCHW, agrees with entry `name`, whole or as samples and statistics."""
    found = np.asarray(found, np.float64)
    if name in stored:
        expected = {name: (found, stored[name])}
    else:
        rows = (np.arange(128) * 7919 + 13) % found.size
        summary = [found.mean(), found.std(), found.min(), found.max()]
        expected = {
            f"{name}.samp": (found.reshape(-1)[rows], stored[f"{name}.samp"]),
            f"{name}.stat": (np.array(summary), stored[f"{name}.stat"]),
        }
    for key, (ours, theirs) in expected.items():
        assert ours.size == theirs.size, (key, ours.shape, theirs.shape)
        ours = ours.reshape(theirs.shape)
        difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert difference <= tolerance, (key, difference)
