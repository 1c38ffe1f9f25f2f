"""Kept images/s of a labelled set to disk, all of its files included, with all checks and without.

    launch/run.sh python benchmarks/generate.py --workdir=runs/quickstart --num_per_class=200

"plain" draws each defect as it is on any surface and keeps it, seen or not; "checked" varies it,
refuses what does not show, and draws surfaces by likeness where the model has codes. Small sets
compile; then `--rounds` sets of each, in turns, are made and thrown away. Results go to
benchmarks/results/generate.json.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import tempfile
import time

import jax

from dtgan import cli
from dtgan.generation import plan, runner, tally
from dtgan.sampling.sampler import load

RESULTS = pathlib.Path(__file__).parent / "results" / "generate.json"


def main():
    """Time the sets, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="directory of the run that draws")
    parser.add_argument("--num_per_class", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cli.start_jax(cli.CACHE)
    config, method = (found := load(args.workdir)).config, found.method
    ways = {
        "plain": {"vary": "none", "visibility": False},
        "checked": {"surfaces": "like" if method.codes else "any"},
    }
    rates, refused = {name: [] for name in ways}, {}
    with tempfile.TemporaryDirectory() as root:
        for k in range(args.rounds + 1):
            for name, fields in ways.items():
                number = args.num_per_class if k else 1
                settings = plan.Settings(num_per_class=number, seed=k, **fields)
                start = time.perf_counter()
                records = runner.generate(args.workdir, f"{root}/{name}{k}", settings)
                made = sum(record["synthetic"] for record in records)
                rates[name].append(made / (time.perf_counter() - start))
                refused[name] = tally.total(records)
    result = {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
        "jax": jax.__version__,
        "res": config.data.res,
        "ch": config.get("model", {}).get("ch"),  # None of a family without networks
        "images": made,
        "images_per_second": {
            name: {
                "median": statistics.median(found[1:]),
                "min": min(found[1:]),
                "max": max(found[1:]),
            }
            for name, found in rates.items()
        },
        "replaced_in_the_last": refused,
        "note": "loading the checkpoint and labels in all formats included",
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
