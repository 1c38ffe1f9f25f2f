"""Spatial control: how much of what a model changes lies inside the box that was asked for.

    launch/run.sh python benchmarks/control.py --workdir=runs/defect_gan

For every image a surface and a box are drawn at random, the labels take turns; measured is the
share of |image - clean| inside the box, widened by `--margin` pixels, and beside it the share that
the same image without a box has there. Means over images with 95 % intervals (bootstrap) and the
mean change in grey levels inside and outside go to WORKDIR/control.json.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from dtgan.config import NORMAL, ConfigError
from dtgan.data import catalog, labels
from dtgan.files import write_atomic
from dtgan.metrics import intervals
from dtgan.sampling import places, requests, sampler

BATCH = 16


def main(argv=None):
    """Measure one checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="of the run")
    parser.add_argument("--step", default="latest", help="latest, best or a number")
    parser.add_argument("--split", default="test", help="whose surfaces are used")
    parser.add_argument("--num", type=int, default=200, help="images")
    parser.add_argument("--margin", type=int, default=3, help="pixels around the box")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    model = sampler.load(args.workdir, int(args.step) if args.step.isdecimal() else args.step)
    if not {"where", "labels"} <= {*model.method.needs, *model.method.controls}:
        sys.exit(f"error: method={model.config.method} cannot be told where a defect shall be")
    result = measure(model, args)
    write_atomic(pathlib.Path(args.workdir) / "control.json", json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(model, args):
    """Draw the images and compute the shares; see the module."""
    source = catalog.open_source(model.config, args.split)
    res, rng = model.config.data.res, np.random.default_rng(args.seed)
    known = [name for name in labels.names(model.classes) if name != NORMAL]
    inside, anywhere, change = [], [], []
    for start in range(0, args.num, BATCH):
        num = min(BATCH, args.num - start)
        name = known[(start // BATCH) % len(known)]
        boxes = random_boxes(rng, num, res)
        masks = np.stack([places.of_boxes([box], res) for box in boxes])
        asked = requests.control_request(model, source, num, seed=start, where={name: masks})
        numbers = np.arange(start, start + num)
        drawn = model(asked, args.seed, numbers)
        free = model({k: v for k, v in asked.items() if k != "where"}, args.seed, numbers)
        near = np.stack([widened(box, res, args.margin) for box in boxes])
        inside += shares(drawn, near)
        anywhere += shares(free, near)
        difference = 127.5 * np.abs(drawn["image"] - drawn["clean"])
        change.append([difference[near].mean(), difference[~near].mean()])
    within, outside = np.mean(change, axis=0)
    pairs = np.stack([inside, np.ones(args.num)], axis=1)
    share = intervals.ratio_interval(pairs, intervals.resampling(args.num, args.seed))
    return {
        "step": model.step,
        "images": args.num,
        "margin": args.margin,
        "share_inside": share.value,
        "share_inside_ci95": share.ci95,
        "share_inside_without_box": float(np.mean(anywhere)),
        "grey_levels_inside": float(within),
        "grey_levels_outside": float(outside),
    }


def random_boxes(rng, num, res):
    """Boxes (x, y, width, height) with sides of an eighth to a half of the image's."""
    size = rng.integers(res // 8, res // 2, (num, 2), endpoint=True)
    corner = rng.integers(0, res - size, endpoint=True)
    return np.concatenate([corner, size], axis=1)


def widened(box, res, margin):
    """bool [R, R, 1]: the box and `margin` pixels around it."""
    x, y, width, height = box
    inside = np.zeros((res, res, 1), bool)
    rows = slice(max(0, y - margin), y + height + margin)
    inside[rows, max(0, x - margin) : x + width + margin] = True
    return inside


def shares(drawn, near):
    """Of each image the share of |image - clean| where `near` [N, R, R, 1] is."""
    change = np.abs(drawn["image"] - drawn["clean"])
    total = change.sum((1, 2, 3))
    return list((change * near).sum((1, 2, 3)) / np.maximum(total, 1e-12))


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
