"""The only training loop: data, compiled steps, progress, sample grids, checkpoints, resume."""

import contextlib
import functools
import json
import logging
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import config as config_lib
from dtgan import mattes, sharding
from dtgan.config import ConfigError
from dtgan.data import account, catalog, crops, pipeline
from dtgan.files import read_json, write_atomic
from dtgan.methods.registry import abstract_state, make_method
from dtgan.runs import workdir as workdir_lib
from dtgan.runs.checkpoints import Checkpoints
from dtgan.runs.writers import Progress, Writer
from dtgan.sampling import grids, requests
from dtgan.sampling.pairs import Pairs
from dtgan.training import programs as programs_lib
from dtgan.training.donor import DonorRun, tell_changes
from dtgan.training.resident import Resident
from dtgan.training.signals import StopSignal

log = logging.getLogger("dtgan")


class Diverged(RuntimeError):
    """A loss is NaN or infinite."""


def train_and_evaluate(config, workdir):
    """Train `config` in `workdir`, from its newest good checkpoint if there is one -> GanState.

    Ends at train.duration with the closing figures in workdir/summary.json, or early, saved, after
    a SIGTERM or SIGINT. Raises ConfigError for a user's mistake, before anything compiles, and
    Diverged for a loss that is no number.
    """
    config_lib.validate(config, jax.device_count())
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignal(leavable=jax.process_count() == 1))
        path = open_everywhere(stack, workdir, config)
        return Run(config, path, stop).train()


def open_everywhere(stack, workdir, config):
    """Open the workdir on the lead process; where that fails, every process raises ConfigError."""
    error = None
    if sharding.is_lead():
        try:
            stack.enter_context(workdir_lib.open_workdir(workdir, config))
        except ConfigError as refused:
            error = refused
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        if multihost_utils.broadcast_one_to_all(np.array(error is not None)) and error is None:
            error = ConfigError(f"process 0 refused the workdir {workdir}; see its message")
    if error is not None:
        raise error
    return pathlib.Path(workdir)


class Run:
    """One training run: data, method and checkpoints, made before anything compiles."""

    def __init__(self, config, path, stop):
        self.config, self.path, self.stop = config, path, stop
        self.lead, self.mesh = sharding.is_lead(), sharding.make_mesh()
        self.source, self.info = catalog.open_checked(config, config.data.split)
        self.method = make_method(config, self.info.classes)
        if "image" in self.method.reads:  # it learns defects
            requests.check_classes(self.method, config.method, self.info.classes[1:])
        self.kinds = pipeline.kinds_of((*self.method.reads, *self.method.needs))
        pipeline.need_kinds(self.source, self.kinds)
        self.checkpoints = Checkpoints(path, config.checkpoint.keep)
        self.abstract = abstract_state(self.method, config)
        self.donor = None
        if config.init.workdir and not self.checkpoints.exist():
            self.donor = DonorRun(config, self.method, self.abstract)
        elif self.method.starts_from and not self.checkpoints.exist():
            raise ConfigError(
                f"method={config.method} starts from {self.method.starts_from}: "
                "--config.init.workdir=DIR"
            )
        self.source = mattes.with_masks(config, self.source, path, self.checkpoints.exist())
        self.sources = {config.data.split: self.source}
        self.cached = crops.CachedSource.of(self.source, config)
        self.put = functools.partial(sharding.put_batch, mesh=self.mesh)
        if config.data.resident and self.method.phases:
            self.put = Resident(config, self.cached, self.method.reads, self.mesh)
        self.total = self._total_steps()
        self._open_validation()
        self.told = account.tell(self.sources, config.data)
        if "image" in self.method.reads:
            account.tell_single(self.info.counts)
        if self.method.learns_masks:
            account.tell_masks(self.cached, config.method)
        key = jax.random.key(config.seed)

        def infer(ema, request):
            # One noise for all grids of a run: they differ by training alone.
            noise = self.method.draw_noise(key, self.rows)
            return self.method.infer(ema, request, noise)

        def score(ema, batch):
            return self.method.score(ema, batch, key)

        self.infer = programs_lib.seldom(infer, self.mesh)
        self.score = programs_lib.seldom(score, self.mesh) if self.method.score else None
        self.classify = None
        if self.method.classify:
            self.classify = programs_lib.seldom(self.method.classify, self.mesh)

    def train(self):
        """Restore or initialise, then step to the end."""
        with contextlib.ExitStack() as stack:
            # On any way out a save under way is finished: what was good stays good.
            stack.callback(self.checkpoints.close)
            state, position = self._start()
            first = int(state.step)
            self.saved_step = first if position else None
            if self.lead:
                text = config_lib.to_json(self.config) + "\n"
                write_atomic(self.path / "config.json", text)
                described = {"fingerprint": self.info.fingerprint, **self.told}
                write_atomic(self.path / "data.json", json.dumps(described, indent=2) + "\n")
            self.writer = Writer(self.path, first, self.lead)
            stack.callback(self.writer.close)
            if first >= self.total:
                self._train_nothing(state)
            else:
                if self.lead:  # summary.json marks a finished run, and this one goes on
                    (self.path / "summary.json").unlink(missing_ok=True)
                stream = pipeline.train_iterator(
                    self.config,
                    self.cached,
                    self.method.reads,
                    jax.process_index(),
                    jax.process_count(),
                )
                stack.callback(stream.close)
                if position:
                    pipeline.go_on(stream, position)
                state = self._loop(state, stream, first)
            self.checkpoints.wait()
            if int(state.step) >= self.total:
                self._write_summary(state)
            return state

    def _total_steps(self):
        """Count the steps of the run; 0 where a family has nothing to train."""
        if not self.method.phases:
            return 0
        reads_defects = "defect" in pipeline.kinds_of(self.method.reads)
        number = self.info.num_defects if reads_defects else self.info.num_normals
        data, train = self.config.data, self.config.train
        return config_lib.to_steps(train.duration, data.batch_size, number)

    def _start(self):
        """Restore or initialise: (GanState on the mesh, stream position or None), of the first of

        1. the newest good checkpoint of this run; 2. the donor that config.init names;
        3. random parameters.
        """
        self.provenance, whole = None, sharding.replicated(self.mesh)
        restored = self.checkpoints.restore(self.abstract, whole)
        if restored is None:
            if self.total:
                self._compile()  # goes on while the state is made
            state = programs_lib.init_state(self.method, self.config, self.mesh)
            if self.donor:
                state, self.provenance = self.donor.adopt(state, whole)
            return state, None
        state, data = restored
        if data["fingerprint"] != self.info.fingerprint:
            raise ConfigError(
                f"the data changed since this run began (fingerprint {data['fingerprint']}, now "
                f"{self.info.fingerprint}); restore the data or use another workdir"
            )
        mattes.check_resumed(self.source, data, self.path)
        log.info("resuming at step %d", int(state.step))
        self.provenance = data.get("donor")
        if self.provenance:
            tell_changes(self.provenance)
        if int(state.step) < self.total:
            self._compile()
        return state, data["position"]

    def _compile(self):
        self.programs = programs_lib.Programs(self.method, self.config, self.mesh, self.abstract)

    def _train_nothing(self, state):
        """End a run that is at its last step already, or has nothing to learn."""
        if self.method.phases:
            log.info("already at step %d of %d: nothing to train", int(state.step), self.total)
            return
        log.info("method=%s has no parameters: nothing to train", self.config.method)
        if not self.checkpoints.exist():
            self.stop.leavable = False
            self._sample(0, state)
            self._save(0, state, None)

    def _loop(self, state, stream, step):
        config, train = self.config, self.config.train
        log.info("%s", _data_line(self.source, self.info, config))
        pictures = pipeline.images_per_row(self.method.reads) * config.data.batch_size
        progress = Progress(step, self.total, pictures)
        pending = []
        while step < self.total and not self._stopping(step):
            with progress.waiting():
                batch = self.put(next(stream))
            state, losses = self.programs.step(state, batch, step)
            step += 1
            self.stop.leavable = False
            pending.append(losses)

            last = step == self.total
            sampling_now = last or step % train.sample_every == 0
            saving = last or step % config.checkpoint.every == 0
            # The first step is logged at once: it shows that the run is alive, and where it began.
            if sampling_now or saving or step == 1 or step % train.log_every == 0:
                pending = self._report(step, pending, progress)
                if sampling_now:
                    self._sample(step, state)
                if saving:
                    self._save(step, state, stream.get_state())
                    # A step that began before would be lost with a whole interval by a kill.
                    self.checkpoints.wait()
                progress.resume()
        if step < self.total:
            self._report(step, pending, progress)
            self._save(step, state, stream.get_state())
            self.checkpoints.wait()  # before the log says "saved"
            saved = "saved; the same command resumes" if step else "nothing to save yet"
            log.info("stopped at step %d, %s", step, saved)
        return state

    def _stopping(self, step):
        # Agreeing costs a collective: several hosts do so every log_every steps only.
        if jax.process_count() > 1 and step % self.config.train.log_every:
            return False
        return self.stop.agreed()

    def _open_validation(self):
        """Set `pairs`, None where the method needs no images, and `rows`, their number in a grid.

        Pairs are of validation images; of training images where the former lack a kind.
        """
        train = self.config.train
        self.pairs, self.rows = None, min(train.sample_rows, train.summary_pairs)
        scored = self.method.reads if self.method.score else ()
        kinds = pipeline.kinds_of((*self.method.needs, *scored))
        if not kinds:
            return
        if "val" in self.config.data.split.split("+"):
            log.warning("data.split=%s: validation images are trained on", self.config.data.split)
        source, info = catalog.open_checked(self.config, "val", needed=False)
        if info is None or not info.num_defects or not info.num_normals:
            log.warning("no validation images of both kinds: grids and scores use training images")
            source = self.source
        elif info.classes != self.info.classes:
            raise ConfigError(
                f"the split 'val' has the classes {', '.join(info.classes)}, training has "
                f"{', '.join(self.info.classes)}; every split needs the same"
            )
        else:
            self.sources["val"] = source
        self.val = crops.FixedWindows(source, self.config)
        self.pairs = Pairs(self.config, self.val, self.rows, self.rows)

    def _report(self, step, pending, progress):
        """Fetch the scalars since the last report, check them, write their means; return []."""
        values = jax.device_get(pending)  # waits for the device, so that the time below is true
        progress.pause(step)
        first = step - len(values) + 1
        for i, row in enumerate(values):
            for name, value in row.items():
                if not math.isfinite(value):
                    raise Diverged(
                        f"{name} is {value} at step {first + i}; the last good checkpoint is kept. "
                        "Lower optim.lr or the weight of that loss and run again"
                    )
        if values:
            names = sorted({name for row in values for name in row})
            means = {n: float(np.mean([row[n] for row in values if n in row])) for n in names}
            rates = progress.rates()
            self.writer.scalars(step, means | rates)
            shown = {n.split("/")[1]: means[n] for n in self.method.shown if n in means}
            log.info("%s", progress.line(step, rates["rate/steps_per_s"], shown))
        return []

    def _sample(self, step, state):
        batch, request = {}, {}
        if self.pairs:
            (batch,) = self.pairs
        elif "labels" in self.method.needs:  # in turn
            batch = {"label": 1 + np.arange(self.rows) % (len(self.info.classes) - 1)}
        asked = requests.in_full(self.method) if self.pairs else self.method.needs
        request = requests.of_pairs(asked, self.info.classes, batch)
        drawn = jax.device_get(self.infer(state.ema, request))
        grid = grids.sample_grid(self.method, batch, drawn)
        self.writer.image(step, "samples", grid)

    def _save(self, step, state, position):
        """Save a state, once a step; raises Diverged where one of its numbers is not finite.

        position: of the data stream, None where there is none.
        """
        if step == self.saved_step or (step == 0 and self.method.phases):
            return
        # A loss is computed before the update that may break the parameters.
        for name, fine in jax.device_get(all_finite(state)).items():
            if not fine:
                raise Diverged(
                    f"{name} is not finite after step {step}; the last good checkpoint is kept. "
                    "Lower optim.lr and run again"
                )
        score = None
        if self.method.score:
            (batch,) = self.pairs
            batch = {name: batch[name] for name in self.method.reads}
            score = float(jax.device_get(self.score(state.ema, batch)))
            if not math.isfinite(score):
                raise Diverged(
                    f"the validation score {score} is not finite after step {step}; the last good "
                    "checkpoint is kept. Lower optim.lr and run again"
                )
            self.writer.scalars(step, {"val/score": score})
        data = {
            "position": position,
            "fingerprint": self.info.fingerprint,
            "classes": list(self.info.classes),
            **mattes.note(self.source),
        }
        if self.provenance:
            data["donor"] = self.provenance
        self.checkpoints.save(step, state, data, config_lib.to_dict(self.config), score)
        self.saved_step = step

    def _write_summary(self, state):
        """Compute the closing figures, log them and write summary.json, once for a last step."""
        file = self.path / "summary.json"
        if (read_json(file) or {}).get("step") == int(state.step):
            return
        summary = {}
        if self.method.transfers:
            pairs = Pairs(self.config, self.val, self.config.train.summary_pairs, self.rows)
            classify = self.classify and functools.partial(self.classify, state.nets)
            summary = grids.transfer_summary(
                self.method,
                self.info.classes,
                pairs,
                lambda request: jax.device_get(self.infer(state.ema, request)),
                classify,
            )
        for line in grids.describe_summary(summary):
            log.info("%s", line)
        if self.lead:
            summary = {"step": int(state.step), **summary}
            write_atomic(file, json.dumps(summary, indent=2) + "\n")
            log.info("done: %s", self.path)


@jax.jit
def all_finite(state):
    """Test the parts of a GanState for NaN and infinity: {net, mean or extra: bool []}."""

    def fine(tree):
        numbers = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers] or [jnp.array(True)]))

    return {
        **{f"the state of {name}": fine(net) for name, net in state.nets.items()},
        **{f"the running mean of {name}": fine(tree) for name, tree in state.ema.items()},
        **{f"extra[{name!r}]": fine(tree) for name, tree in state.extra.items()},
    }


def _data_line(source, info, config):
    counts = ", ".join(f"{name} {count}" for name, count in info.counts.items())
    path = f" {config.data.path}" if config.data.path else ""
    without = f" ({source.skipped} bad files skipped)" if source.skipped else ""
    return (
        f"{config.data.source}{path} ({config.data.split}): {counts}{without}; "
        f"{config.data.res} px, {config.data.channels} channel(s), fingerprint {info.fingerprint}"
    )
