"""A look at a set: python docs/generated.py --set=runs/neu-synthetic --out=FILE

Two rows a class: its first images, and their masks below them. --side=240 shrinks whole pictures.
"""

import argparse
import json
import pathlib

import numpy as np
from PIL import Image, ImageOps

from dtgan import images


def main():
    """Read the manifest, tile, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", required=True, help="what python -m dtgan.generate wrote")
    parser.add_argument("--out", required=True)
    parser.add_argument("--columns", type=int, default=10, help="images a class")
    parser.add_argument("--side", type=int, help="of a square that holds each, pixels")
    args = parser.parse_args()
    root, rows = pathlib.Path(args.set), {}
    for line in (root / "manifest.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["synthetic"]:
            rows.setdefault(record["class"], []).append(record)
    cells = [
        shown(root / record[name], args.side)
        for records in rows.values()
        for name in ("file", "mask")
        for record in records[: args.columns]
    ]
    images.write_image(args.out, images.tile(cells, columns=args.columns))


def shown(path, side):
    """Read a picture; with a side, shrink it into a white square of that side: [side, side, C]."""
    if side is None:
        return images.read_image(path)
    with Image.open(path) as picture:
        grey = ImageOps.pad(picture.convert("L"), (side, side), color=255)
    return np.asarray(grey)[..., None]


if __name__ == "__main__":
    main()
