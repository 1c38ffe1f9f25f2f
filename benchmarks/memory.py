"""Memory of a long training: tiny steps with samples, saves and resumes.

    launch/run.sh python -m benchmarks.memory --steps=50000 --out=runs/memory

Trains a toy family (tests/methods/toys.py), is ended by SIGTERM and started again at equal parts of
the way, and reads the resident memory of the process at its reports. Growth is that of the greatest
over the first after 1,000 steps of a process. Writes benchmarks/results/memory.json.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import time

from benchmarks import faults, record
from benchmarks.warm import Warm

RESULTS = pathlib.Path(__file__).parent / "results" / "memory.json"
WARMED = 1000  # steps after which memory should stay
ALLOWED = 0.05


def main():
    """Train, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    parts = []
    with Warm(faults.ENVIRONMENT, faults.PREPARE) as warm:
        for part in range(1, args.starts + 1):
            until = args.steps * part // args.starts
            parts.append(watch(warm, args, until, last=part == args.starts))
            print(parts[-1], flush=True)
    growth = [part["growth"] for part in parts]
    result = {
        "steps": args.steps,
        "starts": parts,
        "greatest_growth": max(growth),
        "allowed": ALLOWED,
        "holds": max(growth) <= ALLOWED,
    }
    record.write(RESULTS, result)
    print(json.dumps(result, indent=2))


def watch(warm, args, until, last):
    """Start the training, end it at a step: what its memory was."""
    flags = [
        "--config=tests/smoke.py:dots",
        "--config.data.classes=tear",
        f"--config.train.duration={args.steps}steps",
        "--config.train.log_every=50",
        "--config.train.sample_every=250",
        "--config.checkpoint.every=500",
        f"--workdir={args.out / 'run'}",
        f"--compilation_cache={args.out / 'xla'}",
    ]
    begun = faults.last_step(args.out / "run")
    started, seen = warm.start("dtgan.main", flags, args.out / "log"), {}
    while started.state()[0]:
        step = faults.last_step(args.out / "run")
        if step >= begun + WARMED:
            seen.setdefault(step, resident(started.pid))
        if step >= until and not last:
            os.kill(started.pid, signal.SIGTERM)
            break
        time.sleep(1.0)
    code = started.wait()
    assert code == 0, (args.out / "log").read_text()[-2000:]
    seen = {step: size for step, size in seen.items() if size}
    first, sizes = seen[min(seen)], list(seen.values())
    return {
        "from_step": begun,
        "to_step": max(seen),
        "first_mb": round(first, 1),
        "median_mb": round(statistics.median(sizes), 1),
        "most_mb": round(max(sizes), 1),
        "last_mb": round(sizes[-1], 1),
        "readings": len(sizes),
        "growth": round(max(sizes) / first - 1, 4),
    }


def resident(pid):
    """Read the resident memory of a process in MB; 0 where it has ended."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    found = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(found[0]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
