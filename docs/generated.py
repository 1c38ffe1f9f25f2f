"""A look at a set: python docs/generated.py --set=runs/neu-synthetic --out=FILE

Two rows a class: its first images, and their masks below them.
"""

import argparse
import json
import pathlib

from dtgan import images


def main():
    """Read the manifest, tile, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", required=True, help="what python -m dtgan.generate wrote")
    parser.add_argument("--out", required=True)
    parser.add_argument("--columns", type=int, default=10, help="images a class")
    args = parser.parse_args()
    root, rows = pathlib.Path(args.set), {}
    for line in (root / "manifest.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["synthetic"]:
            rows.setdefault(record["class"], []).append(record)
    cells = [
        images.read_image(root / record[name])
        for records in rows.values()
        for name in ("file", "mask")
        for record in records[: args.columns]
    ]
    images.write_image(args.out, images.tile(cells, columns=args.columns))


if __name__ == "__main__":
    main()
