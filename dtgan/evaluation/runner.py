"""Which checkpoints are scored, when, and where the scores go."""

import json
import logging
import pathlib
import time

from dtgan import checkpoints, sampling
from dtgan.config import ConfigError
from dtgan.evaluation import report as report_lib
from dtgan.evaluation import score
from dtgan.evaluation.bench import Bench, check

log = logging.getLogger("dtgan")

POLL_SECONDS = 5.0


class Job:
    """Scores of one run with one set of settings."""

    def __init__(self, workdir, out, settings, force=False):
        """Raises ConfigError for a workdir that is none, or settings that do not exist."""
        check(settings)
        self.workdir, self.settings, self.force = pathlib.Path(workdir), settings, force
        self.out = pathlib.Path(out) if out else self.workdir / "eval"
        self._bench = None
        if not self.workdir.is_dir():
            raise ConfigError(f"--workdir={workdir} does not exist; give the directory of a run")

    def score_steps(self, wanted):
        """Score the steps that `wanted` names: "latest", "best", "all" or a number."""
        if wanted == "all":
            steps = self._good() or [sampling.find_step(self.workdir, "latest")]
        else:
            steps = [sampling.find_step(self.workdir, _parse(wanted))]
        for step in steps:
            self.score_step(step)

    def watch(self, timeout):
        """Score every checkpoint that appears, the last one of the run included.

        The run has ended when its closing figures are those of the newest checkpoint. Returns after
        that, or after `timeout` seconds without a new one.
        """
        done, since = set(), time.monotonic()
        while True:
            # Names first: verifying reads every file of every checkpoint.
            waiting = sorted(self._present() - done)
            if waiting:
                step = waiting[0]  # one at a time: the oldest ones may be deleted meanwhile
                try:
                    self.score_step(step)
                except (OSError, ValueError) as error:
                    if step in self._good():
                        raise
                    log.warning("step %d could not be scored: %s", step, error)
                done.add(step)
                since = time.monotonic()
            elif done and self._ended(max(done)):
                log.info("the run ended at step %d: %d steps looked at", max(done), len(done))
                return
            elif time.monotonic() - since > timeout:
                log.info("no new checkpoint for %.0f s: stopped watching", timeout)
                return
            else:
                time.sleep(min(POLL_SECONDS, timeout / 4))

    def score_step(self, step):
        """Score one good step, unless its report is there, and tell it."""
        if self._bench is None:
            self._bench = Bench(self.workdir, step, self.settings, self.out)
        report = score.existing(self._bench, self.workdir, step, self.out, self.force)
        if report is not None:
            log.info("step %d has its report already", step)
        else:
            report = score.score(self._bench, self.workdir, step, self.out)
            self._write_scalars(report)
        print("\n".join(report_lib.table(report)), flush=True)
        log.info("%s (%.0f s)", self.out / f"{step}.json", report["seconds"])

    def _write_scalars(self, report):
        from tensorboardX import SummaryWriter

        with SummaryWriter(str(self.out)) as events:
            for name, value in report_lib.scalars(report).items():
                events.add_scalar(name, value, report["step"])

    def _present(self):
        return {int(p.name) for p in self.workdir.glob("checkpoints/*") if p.name.isdigit()}

    def _good(self):
        return checkpoints.verified_steps(self.workdir / "checkpoints")[0]

    def _ended(self, step):
        summary = self.workdir / "summary.json"
        return summary.exists() and json.loads(summary.read_text())["step"] == step


def _parse(step):
    """A step as given on the command line: a word or a number."""
    if step in ("latest", "best"):
        return step
    if not step.isdigit():
        raise ConfigError(f"--step={step} is not latest, best, all or a number")
    return int(step)
