"""Losses in bfloat16 beside those in float32: the same steps on the same batches.

    launch/run.sh python -m benchmarks.dtypes --name=stylegan2 --out=runs/dtypes -- \\
        --config=configs/stylegan2.py:smoke

What follows `--` is given to dtgan.main, once for each type. Prints, for every loss that is logged,
its mean in float32 and the largest and the mean difference of means of 20 steps, in units of the
standard deviation of its steps in float32; adds them to benchmarks/results/dtypes.json.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results" / "dtypes.json"
GROUP = 20  # steps


def main(argv=None):
    """Train in both types, compare, write and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="directory of the runs")
    parser.add_argument("--name", required=True, help="of the result")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("given", nargs="+", help="flags of dtgan.main, after --")
    args = parser.parse_args(argv)
    curves = [
        _trained(args.out / dtype, dtype, args.steps, args.given)
        for dtype in ("float32", "bfloat16")
    ]
    found = {"steps": args.steps, "losses": compared(*curves)}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[args.name] = found
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def _trained(workdir, dtype, steps, given):
    """Train in a type: {loss: values of its steps}."""
    command = [sys.executable, "-m", "dtgan.main", f"--workdir={workdir}", *given]
    command += [f"--config.dtype={dtype}", f"--config.train.duration={steps}steps"]
    command += ["--config.train.log_every=1", f"--config.checkpoint.every={steps}"]
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / "log.txt", "w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    found = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        for name, value in json.loads(line).items():
            if name.startswith("loss/"):
                found.setdefault(name, []).append(value)
    return found


def compared(plain, half):
    """Compare the curves of two runs, a row a loss."""
    rows = {}
    for name in plain:
        whole = [np.asarray(curve[name], float) for curve in (plain, half)]
        kept = len(whole[0]) // GROUP * GROUP
        if not kept:  # of a phase that is rarely due
            continue
        means = [curve[:kept].reshape(-1, GROUP).mean(axis=1) for curve in whole]
        unit = max(float(whole[0].std()), 1e-12)
        off = np.abs(means[1] - means[0]) / unit
        rows[name] = {
            "mean": round(float(whole[0].mean()), 5),
            "largest_difference": round(float(off.max()), 4),
            "mean_difference": round(float(off.mean()), 4),
            "finite": bool(np.isfinite(whole[1]).all()),
        }
    return rows


if __name__ == "__main__":
    main()
