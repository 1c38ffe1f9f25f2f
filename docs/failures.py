"""Where transfers fail: python docs/failures.py --workdir=runs/quickstart --out=docs/failures.png

Procedural validation pairs of some classes, where the truth is known: two of the least skill and
two of the middle, a row a pair.
"""

import argparse

import numpy as np

from dtgan import images
from dtgan.data import catalog, pipeline
from dtgan.metrics import transfer
from dtgan.sampling.sampler import load

PAIRS = 40  # of each class, of which four are shown


def main():
    """Draw, rank, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--classes", default="scratch,mark")
    args = parser.parse_args()
    sampler = load(args.workdir)
    config, rng = sampler.config, np.random.default_rng(0)
    source = catalog.open_source(config, "val")
    rows = []
    for name in args.classes.split(","):
        i = rng.choice(np.flatnonzero(source.labels == source.classes.index(name)), PAIRS)
        j = rng.choice(np.flatnonzero(source.labels == 0), PAIRS)
        rows += show(sampler, config, source, i, j)
    sheet = np.concatenate(rows)
    heads = ("x1", "true mask", "mask", "x2", "x3", "true x3", "error x3")
    tiled = images.tile(sheet, columns=len(heads))
    images.write_image(args.out, images.with_header(tiled, list(heads)))


def show(sampler, config, source, i, j):
    """The cells uint8 [7, H, W, 1] of four pairs (defect i, surface j) of one class."""
    x1 = pipeline.load_records(config, source, i)
    x2 = pipeline.load_records(config, source, j)["image"]
    truth = np.stack([source.transfer(int(a), int(b))[0] for a, b in zip(i, j, strict=True)])
    clean = np.stack([source.clean(int(a)) for a in i])
    drawn = sampler({"defect": x1["image"], "surface": x2})
    mask = np.round(255 * drawn["mask"]).astype(np.uint8)
    drawn = {name: images.to_uint8(drawn[name]) for name in ("image", "clean", "removed", "rec")}
    pairs = {"image": x1["image"], "normal": x2, "truth": truth, "clean": clean}
    pairs |= {"mask": x1["mask"], "has_mask": x1["has_mask"]}
    above, below = transfer.measure(pairs, drawn | {"mask": mask / 255.0})["skill"].T
    order = np.argsort(above / np.maximum(below, 1e-9))
    middle = len(order) // 2
    error = np.minimum(3 * np.abs(drawn["image"].astype(int) - truth), 255).astype(np.uint8)
    columns = (x1["image"], x1["mask"], mask, x2, drawn["image"], truth, error)
    chosen = [*order[:2], *order[middle : middle + 2]]
    stacked = np.stack([column[chosen] for column in columns], axis=1)
    return list(stacked.repeat(2, axis=2).repeat(2, axis=3))


if __name__ == "__main__":
    main()
