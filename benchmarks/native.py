"""Whole pictures: greatest memory and pictures/s of `generate --size=native`, by their size.

    launch/run.sh python -m benchmarks.native --workdir=runs/quickstart --out=runs/native

Surfaces of noise, 8 bit grey, made in --out and deleted; each size is a process of its own, after
one that fills the cache of programs. `beyond_mb` is its greatest memory without the pixels of one
picture, `growth` that of the largest pictures over that of the smallest. Writes
benchmarks/results/native.json.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

from benchmarks import record

RESULTS = pathlib.Path(__file__).parent / "results" / "native.json"
SIZES = {"256x256": 64, "4096x1024": 32, "8192x8192": 8}  # width x height -> pictures that are made
SURFACES = 4  # of each size
DRAWN = re.compile(r"(\d+) images in (\d+) s ")


def main(argv=None):
    """Make the pictures in turn, measure, write the result, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="directory of the run that draws")
    parser.add_argument("--classes", default="", help="one defect class; default the first")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args(argv)
    name = args.classes or _classes(args.workdir)[0]
    measured(args.workdir, name, args.out, "256x256", 1)
    rows = [measured(args.workdir, name, args.out, size, n) for size, n in SIZES.items()]
    growth = rows[-1]["beyond_mb"] / rows[0]["beyond_mb"]
    result = {"cpu_cores": os.cpu_count(), "rows": rows, "growth": round(growth, 3)}
    record.write(RESULTS, result)
    print(json.dumps(result, indent=2))


def measured(workdir, name, out, size, number):
    """Make surfaces of a size and `number` pictures with defects: a row of the result."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "surfaces").mkdir(parents=True)
    width, height = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    for k in range(SURFACES):
        pixels = rng.integers(110, 146, (height, width), np.uint8)
        Image.fromarray(pixels).save(out / f"surfaces/{k}.png", compress_level=1)
    command = [sys.executable, "-m", "dtgan.generate", f"--workdir={workdir}", "--size=native"]
    command += [f"--out={out / 'set'}", f"--num_per_class={number}", f"--classes={name}"]
    command += [f"--backgrounds={out / 'surfaces'}", "--no_visibility"]
    with open(out / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    text = (out / "log.txt").read_text()
    if status:
        sys.exit(text)
    made, seconds = map(int, DRAWN.search(text).groups())
    most = used.ru_maxrss / 1024
    own = width * height / 2**20
    shutil.rmtree(out)
    return {
        "size": size,
        "pictures": made,
        "pictures_per_s": round(made / max(seconds, 1), 2),
        "most_mb": round(most),
        "picture_mb": round(own, 2),
        "beyond_mb": round(most - own),
    }


def _classes(workdir):
    data = json.loads((pathlib.Path(workdir) / "data.json").read_text())
    return [name for name in data["classes"] if name != "normal"]


if __name__ == "__main__":
    main()
