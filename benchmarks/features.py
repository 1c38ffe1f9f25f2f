"""Images/s of Inception's pool3 features, and of pytorch-fid beside it where that is installed.

    launch/run.sh python -m benchmarks.features [--images=1000] [--res=64] [--rounds=3]

Weights are random: speed does not depend on them. Both programs see the same uint8 images and take
turns; the medians over rounds and their ratio go to benchmarks/results/features.json.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import time

import jax
import numpy as np

from benchmarks import record
from dtgan import sharding
from dtgan.metrics import features, inception

RESULTS = pathlib.Path(__file__).parent / "results" / "features.json"


def ours():
    """extract(images) of this package, with random weights."""
    image = np.zeros((1, inception.SIDE, inception.SIDE, 3), np.float32)
    variables = jax.jit(inception.Inception().init)(jax.random.key(0), image)

    def apply(x):
        return inception.Inception().apply(variables, inception.preprocess(x, "torch"))

    extractor = features.Extractor("random", "", "torch", apply)
    mesh = sharding.make_mesh()
    return lambda images: features.extract(extractor, images, mesh)["pool"]


def pytorch_fid(batch_size):
    """The same by pytorch-fid's own network and batches; None where it is not installed."""
    try:
        import torch
        from pytorch_fid import inception as theirs
    except ImportError:
        return None
    theirs.load_state_dict_from_url = lambda *_, **__: {}
    load = torch.nn.Module.load_state_dict
    torch.nn.Module.load_state_dict = lambda *_, **__: None  # no download: random weights
    model = theirs.InceptionV3([3]).eval()
    torch.nn.Module.load_state_dict = load
    torch.set_num_threads(os.cpu_count())

    def extract(images):
        parts = []
        with torch.no_grad():
            for start in range(0, len(images), batch_size):
                x = torch.from_numpy(images[start : start + batch_size]).permute(0, 3, 1, 2)
                parts.append(model(x.float() / 255.0)[0].numpy())
        return np.concatenate(parts)

    return extract


def main():
    """Time the programs in turn and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--res", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=50, help="of pytorch-fid; 50 is its own")
    args = parser.parse_args()
    shape = (args.images, args.res, args.res, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    programs = {"dtgan": ours(), "pytorch-fid": pytorch_fid(args.batch_size)}
    programs = {name: program for name, program in programs.items() if program}
    seconds = {name: [] for name in programs}
    for program in programs.values():
        program(images[: 2 * args.batch_size])  # compile, warm up
    for _ in range(args.rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            program(images)
            seconds[name].append(time.perf_counter() - start)
            print(f"{name}: {args.images / seconds[name][-1]:.1f} images/s", file=sys.stderr)
    rates = {name: [args.images / s for s in values] for name, values in seconds.items()}
    result = {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
        "jax": jax.__version__,
        **vars(args),
        "images_per_second": {
            name: {"median": statistics.median(r), "min": min(r), "max": max(r)}
            for name, r in rates.items()
        },
    }
    if len(rates) > 1:
        ours_, theirs = (statistics.median(r) for r in rates.values())
        result["ratio"] = ours_ / theirs
    record.write(RESULTS, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
