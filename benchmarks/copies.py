"""The copy check by the size of a set: processor time a picture, and memory.

    launch/run.sh python -m benchmarks.copies --res=32

Compares pictures of noise, each with a square mask, with --references others, in blocks of as many
as a set is drawn in. Writes benchmarks/results/copies.json.
"""

import argparse
import pathlib
import resource
import time

import numpy as np

from benchmarks import record
from dtgan.generation.plan import BLOCK
from dtgan.metrics import copies

RESULTS = pathlib.Path(__file__).parent / "results" / "copies.json"


def main():
    """Check sets of the sizes asked for, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--res", type=int, default=64, help="side of a picture (default 64)")
    add("--references", type=int, default=528, help="pictures searched in (default 528)")
    add("--sizes", default="1000,10000,50000", help="of the sets (default: %(default)s)")
    args = parser.parse_args()
    rng, rows = np.random.default_rng(0), []
    reference = copies.Reference(pictures(rng, args.references, args.res))
    mask = np.zeros((BLOCK, args.res, args.res, 1), np.uint8)
    mask[:, args.res // 4 : args.res // 2, args.res // 4 : args.res // 2] = 255
    copies.nearest(reference, pictures(rng, BLOCK, args.res), mask)
    for size in map(int, args.sizes.split(",")):
        seconds = 0.0
        for start in range(0, size, BLOCK):
            drawn = pictures(rng, min(BLOCK, size - start), args.res)
            begun = time.process_time()
            copies.nearest(reference, drawn, mask[: len(drawn)])
            seconds += time.process_time() - begun
        rows.append(
            {
                "pictures": size,
                "cpu_ms_a_picture": round(1e3 * seconds / size, 3),
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
        print(rows[-1], flush=True)
    result = {"res": args.res, "references": args.references, "rows": rows}
    record.write(RESULTS, result)


def pictures(rng, number, res):
    """Make pictures of noise: uint8 [number, res, res, 1]."""
    return rng.integers(0, 256, (number, res, res, 1), np.uint8)


if __name__ == "__main__":
    main()
