"""Jobs of scoring: which checkpoints are scored, when, and where the scores go."""

import contextlib
import logging
import os
import pathlib
import time

from dtgan import images
from dtgan.config import ConfigError
from dtgan.evaluation import score, tables
from dtgan.evaluation.context import Context, StepCache, check
from dtgan.files import read_json, write_atomic
from dtgan.runs import checkpoints
from dtgan.runs.events import Events
from dtgan.sampling.sampler import find_step

log = logging.getLogger("dtgan")

POLL_SECONDS = 5.0


class Job:
    """Scores of one run with one set of settings."""

    def __init__(self, workdir, out, settings, force=False):
        """Raises ConfigError for a workdir or settings that do not exist."""
        check(settings)
        self.workdir, self.settings, self.force = pathlib.Path(workdir), settings, force
        self.out = pathlib.Path(out) if out else self.workdir / "eval"
        self._context = None
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
            self.score_step(find_step(self.workdir, "latest" if wanted == "all" else wanted))

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
        """Score one good step, unless its report exists, and print the table."""
        if self._context is None:
            self._context = Context(self.workdir, step, self.settings, self.out)
        report = score.existing(self._context, self.workdir, step, self.out, self.force)
        if report is not None:
            log.info("step %d has its report already", step)
        else:
            cache = StepCache(self.out, step)
            report, pictures = score.score(self._context, self.workdir, step, cache)
            self._write(report, pictures)
            cache.remove()
        print("\n".join(tables.table(report)), flush=True)
        log.info("%s (%.0f s)", self.out / f"{step}.json", report["seconds"])

    def _score_if_there(self, step):
        """Run `score_step`; only log a step that training has deleted meanwhile."""
        try:
            self.score_step(step)
        except (OSError, ValueError) as error:
            if step in self._good():
                raise
            log.warning("step %d could not be scored: %s", step, error)

    def _write(self, report, pictures):
        """Write pictures and scalars, then the report, so that it stands for all of them."""
        step = report["step"]
        self.out.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            images.write_image(self.out / f"{step}-{name}.png", picture)
        with contextlib.closing(Events(self.out)) as events:
            events.scalars(tables.scalars(report), step)
        write_atomic(self.out / f"{step}.json", tables.to_json(report))

    def _present(self):
        return {int(p.name) for p in self.workdir.glob("checkpoints/*") if p.name.isdigit()}

    def _good(self):
        return checkpoints.verified_steps(self.workdir / "checkpoints")[0]

    def _ended(self, step):
        return (read_json(self.workdir / "summary.json") or {}).get("step") == step
