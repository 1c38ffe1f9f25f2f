"""Which checkpoints are scored, when, and where the scores go."""

import json
import logging
import os
import pathlib
import time

from dtgan import images
from dtgan.config import ConfigError
from dtgan.evaluation import score
from dtgan.evaluation import tables as report_lib
from dtgan.evaluation.context import Bench, StepCache, check
from dtgan.runs import checkpoints
from dtgan.runs import workdir as workdir_lib
from dtgan.sampling import sampler as sampling

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
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--out={self.out} cannot be made ({error.strerror})") from error
        if not os.access(self.out, os.W_OK):
            raise ConfigError(f"--out={self.out} cannot be written; use another directory")

    def score_steps(self, wanted):
        """Score the steps that `wanted` names: "latest", "best", "all" or a number."""
        if wanted == "all" and self._good():
            for step in self._good():
                self._score_if_there(step)
        else:
            wanted = "latest" if wanted == "all" else _parse(wanted)
            self.score_step(sampling.find_step(self.workdir, wanted))

    def watch(self, timeout):
        """Score every checkpoint that is found, the last one of the run included.

        The run has ended when its closing figures are those of the newest checkpoint. Returns after
        that, or after `timeout` seconds without a new one.
        """
        done, since = set(), time.monotonic()
        while True:
            # Names first: verifying reads every file of every checkpoint.
            waiting = sorted(self._present() - done)
            if waiting:
                self._score_if_there(waiting[0])  # one at a time: others may be deleted meanwhile
                done.add(waiting[0])
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
            cache = StepCache(self.out, step)
            report, picture = score.score(self._bench, self.workdir, step, cache)
            self._write(report, picture)
            cache.remove()
        print("\n".join(report_lib.table(report)), flush=True)
        log.info("%s (%.0f s)", self.out / f"{step}.json", report["seconds"])

    def _score_if_there(self, step):
        """`score_step`, but a step that training has deleted meanwhile is only named."""
        try:
            self.score_step(step)
        except (OSError, ValueError) as error:
            if step in self._good():
                raise
            log.warning("step %d could not be scored: %s", step, error)

    def _write(self, report, picture):
        """Picture and scalars, then the report: where it is, all is."""
        from tensorboardX import SummaryWriter

        step = report["step"]
        self.out.mkdir(parents=True, exist_ok=True)
        if picture is not None:
            images.write_image(self.out / f"{step}-copies.png", picture)
        with SummaryWriter(str(self.out)) as events:
            for name, value in report_lib.scalars(report).items():
                events.add_scalar(name, value, step)
        workdir_lib.write_text(self.out / f"{step}.json", report_lib.to_json(report))

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
    if not step.isdecimal():
        raise ConfigError(f"--step={step} is not latest, best, all or a number")
    return int(step)
