"""One set of pictures in every layout that is read: are its records, masks and fingerprint equal?

    launch/run.sh python -m benchmarks.layouts --out=runs/layouts

Writes 200 pictures of 320 x 256, half of them with defects of two classes, as
tests/data/formats.py does, opens them in each layout, and compares with the folder: ids, splits and
labels, masks pixel by pixel, pixels further than one from the outline, the fingerprint. Prints a
table and writes benchmarks/results/layouts.json.
"""

import argparse
import json
import pathlib

import numpy as np
from scipy import ndimage

from dtgan.data.folders.audit import audit
from dtgan.data.folders.folder import FolderSource
from tests.data import formats

RESULTS = pathlib.Path(__file__).parent / "results" / "layouts.json"
AROUND = np.ones((3, 3), bool)  # within a pixel


def main(argv=None):
    """Write the set in each layout, compare, write and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="directory of the sets")
    args = parser.parse_args(argv)
    made, rows, first = formats.Set(normal=100, defects=50, size=(256, 320)), {}, None
    for layout in (*formats.EXACT, *formats.OUTLINED, rounded):
        data = formats.write(made, layout, args.out / layout.__name__)
        found = audit(data, 0), opened(data)
        first = first or found
        rows[layout.__name__] = compared(*found, *first)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    heads = list(next(iter(rows.values())))
    print(f"| layout | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(str(row[head]) for head in heads)} |")


def rounded(made, root):
    """COCO's polygons with corners at whole pixels."""
    return formats.coco(made, root, lambda mask: [[float(round(v)) for v in formats.outline(mask)]])


def opened(data):
    """Read all masks of a set: {id: bool [H, W]}."""
    source = FolderSource(data, "train+val+test")
    records = (source[index] for index in range(len(source)))
    return {record["id"]: record["mask"][..., 0] > 0 for record in records}


def compared(report, masks, first, reference):
    """Compare a set with the first one: a row of the result."""
    keys = [[(r.id, r.split, r.label) for r in one.records] for one in (report, first)]
    equal = beyond = 0
    overlap = []
    for name, truth in reference.items():
        mask = masks[name]
        equal += bool((mask == truth).all())
        if truth.any():
            grown, shrunk = (
                f(truth, AROUND) for f in (ndimage.binary_dilation, ndimage.binary_erosion)
            )
            beyond += int(np.count_nonzero(mask & ~grown) + np.count_nonzero(shrunk & ~mask))
            overlap.append(np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth))
    return {
        "records": len(report.records),
        "same ids, splits, labels": keys[0] == keys[1],
        "same fingerprint": report.fingerprint == first.fingerprint,
        "masks equal": equal,
        "pixels beyond one": beyond,
        "least IoU": round(min(overlap), 4),
    }


if __name__ == "__main__":
    main()
