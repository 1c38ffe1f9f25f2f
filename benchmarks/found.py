"""How many defects does a model find in their own images, and how many where there are none?

    launch/run.sh python benchmarks/found.py --workdir=runs/neu --name="E reads the relief"

Draws the matte of every training and validation image on itself, as generate sees it, and counts,
by class, the images in which at least four pixels exceed --threshold, and the share of all pixels
that do. A row of this name is added to benchmarks/results/found.json.
"""

import argparse
import json
import pathlib

import numpy as np

from dtgan import cli
from dtgan.annotations import instances
from dtgan.data import catalog, pipeline
from dtgan.sampling import requests
from dtgan.sampling.sampler import load

RESULTS = pathlib.Path(__file__).parent / "results" / "found.json"
BATCH = 32


def main():
    """Count, write and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="directory of a run whose model removes")
    parser.add_argument("--name", required=True, help="of the row")
    parser.add_argument("--threshold", type=float, default=0.2, help="of the matte (default 0.2)")
    args = parser.parse_args()
    cli.start_jax(cli.CACHE)
    sampler = load(args.workdir)
    rows = {"threshold": args.threshold, "step": sampler.step}
    for split in ("train", "val"):
        source = catalog.open_source(sampler.config, split)
        labels = np.asarray(source.labels)
        rows[split] = {
            name: counted(sampler, source, np.flatnonzero(labels == label), args.threshold)
            for label, name in enumerate(source.classes)
        }
    told = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    told[args.name] = rows
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


def counted(sampler, source, indices, threshold):
    """Count the images of some indices: how many, in how many something is found, its area."""
    x1 = pipeline.load_records(sampler.config, source, indices)
    batch = {name: x1[name] for name in ("image", "mask", "label")} | {"normal": x1["image"]}
    request = requests.of_pairs(sampler.method.needs, sampler.classes, batch)
    above = sampler(request, outputs=("mask",), batch_size=BATCH)["mask"] > threshold
    found = np.count_nonzero(above, axis=(1, 2, 3)) >= instances.MIN_PIXELS
    return {"images": len(above), "found": int(found.sum()), "area": float(above.mean())}


if __name__ == "__main__":
    main()
