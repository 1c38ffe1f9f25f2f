"""Files of a Network, each loaded again and compared with the original."""

import functools
import hashlib
import importlib.util

import jax
import numpy as np

from dtgan.config import ConfigError
from dtgan.nn import platforms
from dtgan.weights import published

FORMATS = ("stablehlo", "safetensors", "onnx")
PLATFORMS = ("cpu", "cuda", "tpu")
TOLERANCE = 1e-3  # for the largest difference, relative to the largest value
ROWS = (1, 3)  # batch sizes that are compared


def check(name):
    """Raise ConfigError for an unknown format, or one whose library is missing."""
    if name not in FORMATS:
        raise ConfigError(f"--format={name} is not one of {', '.join(FORMATS)}")
    if name == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        raise ConfigError("--format=onnx needs onnx and onnxruntime: pip install 'dtgan[onnx]'")


def write(network, out, name):
    """Write one format below the directory `out` -> {"file", "bytes", "sha256", "difference"}.

    difference: the largest one from the original on random inputs, relative to its largest value.
    Raises ConfigError where the file differs from the network by more than TOLERANCE.
    """
    path = out / f"{network.name}.{name}"
    run = {"stablehlo": stablehlo, "safetensors": safetensors, "onnx": onnx}[name](network, path)
    difference = compare(network, run)
    if not difference <= TOLERANCE:
        raise ConfigError(
            f"{path} computes something else than the network: it differs by {difference:.2g} of "
            f"the largest value, allowed is {TOLERANCE}"
        )
    content = path.read_bytes()
    return {
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "difference": difference,
    }


def stablehlo(network, path):
    """Write portable StableHLO with its parameters and a free batch size; returns its caller."""
    from jax import export

    (batch,) = export.symbolic_shape("batch")
    inputs = [
        jax.ShapeDtypeStruct((batch, *shape), dtype) for shape, dtype in network.inputs.values()
    ]
    whole = jax.jit(lambda *arrays: network.function(network.params, *arrays))
    with platforms.target(None):
        path.write_bytes(export.export(whole, platforms=PLATFORMS)(*inputs).serialize())
    return export.deserialize(bytearray(path.read_bytes())).call


def safetensors(network, path):
    """Write the parameters alone, for torch and others; returns the network with those read."""
    name = network.about["network"]
    digest = published.write(path, network.state, name)
    params = network.restore(published.read(path, name, digest)[0])
    return functools.partial(jax.jit(network.function), params)


def onnx(network, path):
    """Write ONNX with its parameters and a free batch size; returns a caller of onnxruntime."""
    import onnxruntime

    from dtgan.exporting.onnx.graph import to_onnx

    model = to_onnx(lambda *arrays: network.function(network.params, *arrays), network.inputs)
    path.write_bytes(model)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(*arrays):
        fed = dict(zip(network.inputs, arrays, strict=True))
        return dict(zip(names, session.run(names, fed), strict=True))

    return run


def compare(network, run):
    """Compute the largest relative difference of `run` from the network on random inputs.

    Compared are batches of ROWS rows.
    """
    rng, worst = np.random.default_rng(0), 0.0
    whole = functools.partial(jax.jit(network.function), network.params)
    for rows in ROWS:
        arrays = [
            rng.integers(0, 256, (rows, *shape)).astype(dtype)
            if dtype == np.uint8
            else rng.uniform(0.5, 1.5, (rows, *shape)).astype(dtype)
            for shape, dtype in network.inputs.values()
        ]
        expected, found = whole(*arrays), run(*arrays)
        for name, value in expected.items():
            value, other = np.asarray(value), np.asarray(found[name])
            worst = max(worst, float(np.abs(value - other).max() / max(np.abs(value).max(), 1e-6)))
    return worst
