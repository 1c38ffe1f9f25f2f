"""Runs of a grid: processes that resume, what they take, and the figures of their reports."""

import concurrent.futures
import json
import os
import queue
import signal
import subprocess
import sys
import time

import numpy as np

from dtgan.files import read_json, write_atomic

INTERRUPTED = 128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM


class Failed(RuntimeError):
    """A process, or what it needs, failed for the reason in its text."""


class Stopped(RuntimeError):
    """A process was told to stop; the same command goes on."""


def python(workdir, module, *given, core=None):
    """Run a module for a workdir, its output in log.txt, on one CPU core where `core` says so.

    Adds its wall time in seconds, and its largest memory in MB, to spent.json of the workdir.
    Raises Failed with the last line of its output, or Stopped.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    pin = [] if core is None else ["taskset", "-c", str(core)]
    start = time.monotonic()
    with open(workdir / "log.txt", "ab") as log:
        before = log.tell()
        command = [*pin, sys.executable, "-m", module, *given]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    spent = read_json(workdir / "spent.json") or {}
    known = spent.get(module, {"seconds": 0.0, "peak_mb": 0})
    spent[module] = {
        "seconds": round(known["seconds"] + time.monotonic() - start, 3),
        "peak_mb": max(known["peak_mb"], usage.ru_maxrss // 1024),
    }
    write_atomic(workdir / "spent.json", json.dumps(spent, indent=2) + "\n")
    if process.returncode in INTERRUPTED:
        raise Stopped(f"{module} in {workdir} was told to stop")
    if process.returncode:
        told = (workdir / "log.txt").read_bytes()[before:].decode(errors="replace").strip()
        last = told.splitlines()[-1] if told else "no output"
        raise Failed(f"{module} ended with {process.returncode}: {last}")


def train(workdir, given, core=None):
    """Train a run that has not ended."""
    if (workdir / "summary.json").exists():
        return
    python(workdir, "dtgan.main", f"--workdir={workdir}", *given, core=core)
    if not (workdir / "summary.json").exists():  # it saves and ends without an error
        raise Stopped(f"the training in {workdir} was told to stop")


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


def cores(number):
    """List the first CPU cores that this process may use, all of them for None."""
    return sorted(os.sched_getaffinity(0))[:number]


class Pool:
    """Threads that start processes, each with one of the given CPU cores (None: any) at a time."""

    def __init__(self, cores):
        self._number, self._cores = len(cores), queue.SimpleQueue()
        for core in cores:
            self._cores.put(core)

    def each(self, work, items):
        """Call work(core, item) for every item, and raise what one of them raised."""

        def with_core(item):
            core = self._cores.get()
            try:
                work(core, item)
            finally:
                self._cores.put(core)

        with concurrent.futures.ThreadPoolExecutor(self._number) as threads:
            waiting = [threads.submit(with_core, item) for item in items]
            for done in concurrent.futures.as_completed(waiting):
                if done.exception():
                    threads.shutdown(cancel_futures=True)
                    raise done.exception()
