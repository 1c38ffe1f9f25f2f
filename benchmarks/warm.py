"""Starts of dtgan's commands from a process that has all imports behind it, for trials of kills.

    with Warm() as warm:
    XX
Imports take seconds; what a kill can harm comes after them. The warm process has no other thread
when it forks, and JAX has opened no device, so that a child is like a process of its own.
"""

import importlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Warm:
    """A context that holds the warm process. environment: of the commands, beside one's own.

    prepare: "module:function", called in each child before its command.
    """

    def __init__(self, environment=None, prepare=""):
        self._environment, self._prepare = environment or {}, prepare

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.warm", self._prepare],
            cwd=ROOT,
            # Its threads would be lost in the fork.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def start(self, module, args, log):
        """Start `python -m module args`, whose output goes to the file `log`: a Started.

        The one before must have ended.
        """
        self._process.stdin.write(json.dumps([module, list(map(str, args)), str(log)]) + "\n")
        self._process.stdin.flush()
        return Started(int(self._process.stdout.readline()), self._process)

    def run(self, module, args, log):
        """Run a command to its end: seconds of processor time. Raises RuntimeError if it fails."""
        started = self.start(module, args, log)
        code = started.wait()
        if code:
            end = pathlib.Path(log).read_text()[-2000:]
            raise RuntimeError(f"{module} ended with {code}: {end}")
        return started.state()[1]


class Started(NamedTuple):
    """A command that runs, or ran, until the next one starts."""

    pid: int
    warm: subprocess.Popen

    def state(self):
        """Read (whether it runs, seconds of processor time so far)."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] != "Z", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill_after(self, seconds, more):
        """Send SIGKILL after some processor time, and some seconds more; tell whether it met it."""
        while (state := self.state())[0] and state[1] < seconds:
            time.sleep(0.002)
        time.sleep(more)
        os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self):
        """Wait for the end: the exit code, or minus the number of the signal that ended it."""
        return int(self.warm.stdout.readline())


def serve(prepare):
    """Fork a child for each line of stdin; tell its number, then its status."""
    import dtgan.classification.report
    import dtgan.classification.runner
    import dtgan.evaluation.runner
    import dtgan.generation.runner
    import dtgan.training.loop  # noqa: F401

    last = 0
    for line in sys.stdin:
        if last:
            os.waitpid(last, 0)
        threads = len(os.listdir("/proc/self/task"))
        assert threads == 1, f"{threads} threads: a fork would lose some"
        pid = os.fork()
        if pid == 0:
            work(prepare, *json.loads(line))
        print(pid, flush=True)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        killed = ended.si_code != os.CLD_EXITED
        print(-ended.si_status if killed else ended.si_status, flush=True)
        # Its number is kept until the next command: a kill that comes late must meet nobody else.
        last = pid


def work(prepare, module, args, log):
    """Be the command, in a child; never returns."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, old in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(number, old)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *args]
    try:
        if prepare:
            name, _, function = prepare.partition(":")
            getattr(importlib.import_module(name), function)()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
