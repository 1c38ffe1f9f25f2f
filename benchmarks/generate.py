"""Images/s of a labelled set to disk, all of its files included.

    launch/run.sh python benchmarks/generate.py --workdir=runs/quickstart --num_per_class=200

The first, small set compiles; then `--rounds` sets are made and thrown away. Results go to
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
from dtgan.generation import plan, runner
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
    rates = []
    with tempfile.TemporaryDirectory() as root:
        for k in range(args.rounds + 1):
            settings = plan.Settings(num_per_class=args.num_per_class if k else 1, seed=k)
            start = time.perf_counter()
            records = runner.generate(args.workdir, f"{root}/{k}", settings)
            made = sum(record["synthetic"] for record in records)
            rates.append(made / (time.perf_counter() - start))
    config = load(args.workdir).config
    result = {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
        "jax": jax.__version__,
        "res": config.data.res,
        "ch": config.get("model", {}).get("ch"),  # None of a family without networks
        "images": made,
        "images_per_second": {
            "median": statistics.median(rates[1:]),
            "min": min(rates[1:]),
            "max": max(rates[1:]),
        },
        "note": "loading the checkpoint and labels in all formats included",
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
