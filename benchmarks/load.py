"""Large sets: seconds and memory of the audit and of the start of a training, by size.

    launch/run.sh python -m benchmarks.load --out=runs/load

Small pictures of 32 x 32 in many classes, strips of 16,000 x 2,000, made in --out and deleted. Each
measurement is a process of its own: seconds on the clock and of the processor, and its greatest
memory. `start` is all that a training does before it compiles, and its first batch. Growth is the
exponent by which a figure grows with the number of pictures. Writes benchmarks/results/load.json.
"""

import argparse
import json
import math
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from benchmarks import record

RESULTS = pathlib.Path(__file__).parent / "results" / "load.json"
STRIP = (16_000, 2_000)  # width, height


def main():
    """Make the sets in turn, measure, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", default="1000,10000,100000", help="numbers of small pictures")
    parser.add_argument("--classes", default="10,100,1000", help="of each of them")
    parser.add_argument("--strips", default="8,16")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure, args.out)
    small, strips = [], []
    numbers = [list(map(int, text.split(","))) for text in (args.small, args.classes, args.strips)]
    for number, classes in zip(*numbers[:2], strict=True):
        small.append(measured(args.out / "set", number, classes, (32, 32)))
    for number in numbers[2]:
        strips.append(measured(args.out / "set", number, 2, STRIP))
    result = {
        "cpu_cores": os.cpu_count(),
        "small": small,
        "strips": strips,
        "growth_small": growth(small),
        "growth_strips": growth(strips),
    }
    record.write(RESULTS, result)


def measured(root, number, classes, size):
    """Make a set, measure each way in a process of its own, delete it: a row of the result."""
    shutil.rmtree(root, ignore_errors=True)
    make(root, number, classes, size)
    row = {"pictures": number, "classes": classes, "size": list(size)}
    for name in MEASURES:
        command = [sys.executable, "-m", "benchmarks.load", f"--measure={name}", f"--out={root}"]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        row[name] = json.loads(found.stdout.splitlines()[-1])
    shutil.rmtree(root)
    print(row, flush=True)
    return row


def make(root, number, classes, size):
    """Write different pictures of noise in blocks, shared out among classes, normal first."""
    rng = np.random.default_rng(0)
    width, height = size
    for k in range(number):
        label = k % classes
        folder = root / "images" / ("normal" if label == 0 else f"class_{label:04d}")
        if k < classes:
            folder.mkdir(parents=True)
        blocks = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        pixels = np.kron(blocks, np.ones((height // 8, width // 8), np.uint8))
        Image.fromarray(pixels).save(folder / f"{k:06d}.png", compress_level=1)


def measure(name, root):
    """Run one way, print its figures as JSON."""
    config = _config(root)
    from dtgan.training import loop  # noqa: F401, the imports are not measured

    begun, used = time.monotonic(), time.process_time()
    found = MEASURES[name](config)
    print(
        json.dumps(
            {
                "seconds": round(time.monotonic() - begun, 2),
                "processor_seconds": round(time.process_time() - used, 2),
                "most_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                **found,
            }
        )
    )


def _config(root):
    from dtgan.config import base_config, shrink

    config = base_config("layered")
    shrink(config)
    config.data.source, config.data.path = "folder", str(root)
    return config


def _nothing(config):
    """The imports alone: the memory that others build on."""
    return {}


def _audit(config):
    from dtgan.data.folders.audit import audit

    report = audit(config.data)
    return {"records": len(report.records), "errors": len(report.errors)}


def _start(config):
    from dtgan.data import pipeline
    from dtgan.training import loop
    from dtgan.training.signals import StopSignal

    run = loop.Run(config, pathlib.Path(config.data.path) / "run", StopSignal())
    stream = pipeline.train_iterator(config, run.cached, run.method.reads)
    next(stream)
    stream.close()
    return {"normals": run.info.num_normals, "defects": run.info.num_defects}


MEASURES = {"imports": _nothing, "audit": _audit, "start": _start}


def growth(rows):
    """Compute the exponents between the smallest and the largest set: {measure: {figure: x}}."""
    first, last = rows[0], rows[-1]
    if first is last:
        return {}
    ratio = math.log(last["pictures"] / first["pictures"])
    return {
        name: {
            "processor_seconds": round(
                math.log(last[name]["processor_seconds"] / first[name]["processor_seconds"])
                / ratio,
                2,
            ),
            "mb_per_thousand_pictures": round(
                (last[name]["most_mb"] - first[name]["most_mb"])
                / (last["pictures"] - first["pictures"])
                * 1000,
                1,
            ),
        }
        for name in MEASURES
        if name != "imports"
    }


if __name__ == "__main__":
    main()
