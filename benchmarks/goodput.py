"""Goodput under kills: how much of the time goes into steps that last?

    launch/run.sh python -m benchmarks.goodput --out=runs/goodput

Trains the quickstart undisturbed until it has saved four times, which fills the cache of compiled
programs and tells the steps per second, and ends it by SIGKILL. Then starts it again and again,
each time ended by SIGKILL after --seconds of wall time, imports and restoring included. Goodput is
the number of steps that checkpoints have gained in these starts over those that the same time
undisturbed, without saves, gives. Beside it stands what benchmarks/faults.py computes for kills by
chance. Writes benchmarks/results/goodput.json.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks import record
from benchmarks.faults import QUICKSTART, goodput
from dtgan.runs.checkpoints import verified_steps

RESULTS = pathlib.Path(__file__).parent / "results" / "goodput.json"


def main():
    """Train, kill, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, help="directory of run and cache")
    add("--seconds", type=float, default=60, help="of each start after the first (default 60)")
    add("--starts", type=int, default=5, help="how many (default 5)")
    add("--every", type=int, default=50, help="checkpoint.every (default 50)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run = args.out / "run"
    command = [
        *(sys.executable, "-m", "dtgan.main", "--config=configs/quickstart.py"),
        *(f"--workdir={run}", f"--compilation_cache={args.out / 'xla'}"),
        *("--config.train.duration=100000steps", f"--config.checkpoint.every={args.every}"),
    ]
    with (args.out / "log").open("w") as log:
        with killed_at_last(command, log) as first:
            while saved(run) < 4 * args.every and first.poll() is None:
                time.sleep(1.0)
        rate, reached = steps_per_s(run), [saved(run)]
        for _ in range(args.starts):
            with killed_at_last(command, log):
                time.sleep(args.seconds)
            reached.append(saved(run))
    share = (reached[-1] - reached[0]) / (args.starts * args.seconds * rate)
    work, save, restart = args.every / rate, QUICKSTART["save"], QUICKSTART["restart"]
    found = {
        "every": args.every,
        "seconds": args.seconds,
        "steps_per_s": round(rate, 2),
        "saved": reached,
        "goodput": round(share, 3),
        "by_formula": round(goodput(work, save, restart, args.seconds), 3),
    }
    record.write(RESULTS, found)
    print(json.dumps(found, indent=2))


@contextlib.contextmanager
def killed_at_last(command, log):
    """Start a command, end it by SIGKILL after the block. Raises SystemExit where it had ended."""
    started = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield started
        if started.poll() is not None:
            raise SystemExit(f"error: the training ended by itself; see {log.name}")
    finally:
        started.kill()
        started.wait()


def steps_per_s(run):
    """Read the median rate of the reports of a run, its first one, which compiled, left out."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    rates = [row["rate/steps_per_s"] for row in rows if "rate/steps_per_s" in row]
    return statistics.median(rates[1:])


def saved(run):
    """Find the newest step that can be resumed, 0 where there is none."""
    return max(verified_steps(run / "checkpoints")[0], default=0)


if __name__ == "__main__":
    main()
