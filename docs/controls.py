"""The README's picture of controls: python docs/controls.py --workdir=runs/quickstart --out=FILE.

A row per reference defect: the defect, the surface, then one control at a time.
"""

import argparse

import numpy as np

from dtgan import images
from dtgan.data import catalog
from dtgan.sampling import sampler as sampling

CLASSES = ("tear", "mark", "scratch", "shell", "notching")


def main():
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sampler = sampling.load(args.workdir)
    config, source = sampler.config, catalog.open_source(sampler.config, "test")
    res, rows = config.data.res, len(CLASSES)
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
        request = sampling.control_request(config, source, rows, CLASSES, seed=args.seed, **control)
        if not cells:
            first = request
            cells = {"defect": first["image"][:, 0], "surface": first["normal"]}
        request["image"][:, 0], request["normal"] = first["image"][:, 0], first["normal"]
        cells[name] = images.to_uint8(sampler(request)["image"])
    stacked = np.stack(list(cells.values()), axis=1)
    scale = max(1, 96 // res)
    stacked = stacked.repeat(scale, axis=2).repeat(scale, axis=3)
    sheet = images.tile(stacked.reshape(-1, *stacked.shape[2:]), columns=len(cells))
    images.write_image(args.out, images.with_header(sheet, list(cells)))


if __name__ == "__main__":
    main()
