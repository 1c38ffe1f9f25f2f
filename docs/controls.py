"""The picture of controls: python docs/controls.py --workdir=runs/quickstart --out=FILE.

A row per reference defect: the defect, the surface, then one control at a time.
"""

import argparse

import numpy as np

from dtgan import images
from dtgan.data import catalog
from dtgan.sampling.requests import control_request
from dtgan.sampling.sampler import load

CLASSES = ("tear", "mark", "scratch", "shell", "notching")


def main():
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sampler = load(args.workdir)
    source = catalog.open_source(sampler.config, "test")
    res, rows = sampler.config.data.res, len(CLASSES)
    left = np.zeros((res, res), bool)
    left[:, : res // 2] = True
    columns = {
        "as it is": {},
        "strength 0.4": {"strength": 0.4},
        "strength 2": {"strength": 2.0},
        "shift": {"shift": (0.2, -0.15)},
        "scale 0.6": {"scale": 0.6},
        "flip": {"flip": (False, True)},
        "left half": {"limit": left},
        "two defects": {"defects": 2},
    }
    cells = {}
    for name, control in columns.items():
        request = control_request(sampler, source, rows, CLASSES, seed=args.seed, **control)
        if not cells:
            first = request
            cells = {"defect": first["defect"][:, 0], "surface": first["surface"]}
        request["defect"][:, 0], request["surface"] = first["defect"][:, 0], first["surface"]
        cells[name] = images.to_uint8(sampler(request)["image"])
    stacked = np.stack(list(cells.values()), axis=1)
    scale = max(1, 96 // res)
    stacked = stacked.repeat(scale, axis=2).repeat(scale, axis=3)
    sheet = images.tile(stacked.reshape(-1, *stacked.shape[2:]), columns=len(cells))
    images.write_image(args.out, images.with_header(sheet, list(cells)))


if __name__ == "__main__":
    main()
