"""Runs of a grid: processes that resume, how long they took, and the figures of their reports."""

import concurrent.futures
import json
import os
import queue
import subprocess
import sys
import time

import numpy as np

from dtgan.files import read_json, write_atomic


def python(workdir, module, *given, core=None):
    """Run a module for a workdir, its output in log.txt, on one CPU core where `core` says so.

    Adds its wall time in seconds, and its largest memory in MB, to spent.json of the workdir.
    Raises CalledProcessError, with the last line of the output, where it fails.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, *given]
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    start = time.monotonic()
    with open(workdir / "log.txt", "a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=pin)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    spent = read_json(workdir / "spent.json") or {}
    before = spent.get(module, {"seconds": 0.0, "peak_mb": 0})
    spent[module] = {
        "seconds": round(before["seconds"] + time.monotonic() - start, 1),
        "peak_mb": max(before["peak_mb"], usage.ru_maxrss // 1024),
    }
    write_atomic(workdir / "spent.json", json.dumps(spent, indent=2) + "\n")
    if process.returncode:
        lines = (workdir / "log.txt").read_text().strip().splitlines()
        raise subprocess.CalledProcessError(process.returncode, command, (lines or [""])[-1])


def train(workdir, given, core=None):
    """Train a run that has not ended."""
    if not (workdir / "summary.json").exists():
        python(workdir, "dtgan.main", f"--workdir={workdir}", *given, core=core)


def evaluate(workdir, num_fake, judge=None, core=None):
    """Evaluate a trained run that is not evaluated yet; judge: file of a domain classifier."""
    step = json.loads((workdir / "summary.json").read_text())["step"]
    if (workdir / "eval" / f"{step}.json").exists():
        return
    given = [f"--workdir={workdir}", f"--num_fake={num_fake}"]
    given += [f"--weights={judge}"] if judge else []
    python(workdir, "dtgan.evaluate", *given, core=core)


def judge_of(directory):
    """Find the domain classifier that an evaluation left in a directory; None without."""
    return next(iter(sorted(directory.glob("domain-*.safetensors"))), None)


def report(workdir):
    """Read the report of the last step that is evaluated; None without."""
    reports = [json.loads(file.read_text()) for file in (workdir / "eval").glob("*.json")]
    return max(reports, key=lambda one: one["step"], default=None)


def dig(report, path):
    """report[a][b]..., None where a part is missing."""
    for name in path:
        report = report.get(name) if isinstance(report, dict) else None
    return report


def rate(workdir, name):
    """Median of a rate ("steps_per_s", "images_per_s") over a run's log lines but the first.

    The first warms up. None where there is no other.
    """
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    rates = [found for line in lines if (found := json.loads(line).get(f"rate/{name}"))]
    return float(np.median(rates[1:])) if len(rates) > 1 else None


class Pool:
    """Threads for processes, each with a CPU core of its own; a single one may use all."""

    def __init__(self, jobs):
        self._jobs, self._cores = jobs, queue.SimpleQueue()
        for core in range(jobs):
            self._cores.put(core if jobs > 1 else None)

    def each(self, work, items):
        """Call work(core, item) for every item, and raise what one of them raised."""

        def pinned(item):
            core = self._cores.get()
            try:
                work(core, item)
            finally:
                self._cores.put(core)

        with concurrent.futures.ThreadPoolExecutor(self._jobs) as threads:
            list(threads.map(pinned, items))
