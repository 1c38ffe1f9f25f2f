"""The only training loop: data, compiled steps, progress, sample grids, checkpoints, resume."""

import contextlib
import functools
import json
import logging
import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from dtgan import config as config_lib
from dtgan import images, sampling, sharding
from dtgan import workdir as workdir_lib
from dtgan.checkpoints import Checkpoints
from dtgan.config import ConfigError
from dtgan.data import catalog, pipeline
from dtgan.methods.registry import make_method
from dtgan.writers import Progress, Writer

log = logging.getLogger("dtgan")

SHOWN = ("loss/G", "loss/D", "loss/rec", "loss/structure", "loss/cls_g")  # in log lines


class Diverged(RuntimeError):
    """A loss is NaN or infinite."""


class StopSignal:
    """SIGTERM or SIGINT as a request to save at the next step boundary and end well.

    A second one interrupts at once. Python runs handlers between bytecodes, so a signal during a
    compilation is seen when that returns.
    """

    def __init__(self):
        self.requested = False
        self._old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number, _frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        log.warning("%s: saving at the next step, then ending", signal.Signals(number).name)

    def agreed(self):
        """Whether any process was asked to stop; all processes must call this at the same step."""
        if jax.process_count() == 1:
            return self.requested
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(self.requested))))


def train_and_evaluate(config, workdir):
    """Train `config` in `workdir`, from its newest good checkpoint if there is one -> GanState.

    Ends at train.duration with the closing figures in workdir/summary.json, or early, saved, after
    a SIGTERM or SIGINT. Raises ConfigError for a user's mistake, before anything compiles, and
    Diverged for a loss that is no number.
    """
    config_lib.validate(config, jax.device_count())
    if sharding.is_lead():
        opened = workdir_lib.open_workdir(workdir, config)
    else:
        opened = contextlib.nullcontext(workdir)
    with StopSignal() as stop, opened as path:
        return Run(config, pathlib.Path(path), stop).train()


class Run:
    """One run: what its loop needs, made before anything compiles."""

    def __init__(self, config, path, stop):
        self.config, self.path, self.stop = config, path, stop
        self.source, self.info = open_checked(config, config.data.split)
        self.total = config_lib.to_steps(
            config.train.duration, config.data.batch_size, self.info.num_defects
        )
        rows = min(config.train.sample_rows, config.train.summary_pairs)
        self.val = self._open_validation()
        self.pairs = sampling.Pairs(config, self.val, rows, rows)
        self.method = make_method(config, len(self.info.classes))
        self.mesh = sharding.make_mesh()
        self.checkpoints = Checkpoints(path, config.checkpoint.keep)
        self.lead = sharding.is_lead()

    def train(self):
        """Restore or initialise, then step to the end."""
        state, position = self._restore()
        if self.lead:
            workdir_lib.write_config(self.path, self.config)
        first = int(state.step)
        if first >= self.total:
            log.info("already at step %d of %d: nothing to train", first, self.total)
            return state
        stream = pipeline.train_iterator(
            self.config, self.source, jax.process_index(), jax.process_count()
        )
        if position is not None:
            stream.set_state(position)
        self.writer = Writer(self.path, first, self.lead)
        try:
            return self._loop(state, stream, first)
        finally:
            # On any way out, a save under way is finished: what was good stays good.
            self.checkpoints.close()
            self.writer.close()
            stream.close()

    def _restore(self):
        """(GanState, stream position or None) on the mesh."""
        spec = pipeline.batch_spec(self.config)
        init = functools.partial(self.method.init, batch_spec=spec)
        whole, key = sharding.replicated(self.mesh), jax.random.key(self.config.seed)
        restored = self.checkpoints.restore(jax.eval_shape(init, key), whole)
        if restored is None:
            # Not device_put: it may alias its input, which the step's donation would delete.
            return jax.jit(init, out_shardings=whole)(key), None
        state, data = restored
        if data["fingerprint"] != self.info.fingerprint:
            raise ConfigError(
                f"the data changed since this run began (fingerprint {data['fingerprint']}, now "
                f"{self.info.fingerprint}); restore the data or use another workdir"
            )
        log.info("resuming at step %d", int(state.step))
        return state, data["position"]

    def _loop(self, state, stream, step):
        config, train = self.config, self.config.train
        log.info("%s", _data_line(self.source, self.info, config))
        tools = compile_steps(self.method, config, self.mesh, state)
        progress = Progress(step, self.total, 2 * config.data.batch_size)
        pending = []
        while step < self.total and not self._stopping(step):
            batch = sharding.put_batch(next(stream), self.mesh)
            metrics = {}
            if self.method.lazy_every and step % self.method.lazy_every == 0:
                state, metrics = tools.regularize(state, batch)
            state, losses = tools.step(state, batch)
            step += 1
            pending.append(metrics | losses)

            last = step == self.total
            sampling_now = last or step % train.sample_every == 0
            saving = last or step % config.checkpoint.every == 0
            if sampling_now or saving or step % train.log_every == 0:
                pending = self._report(step, pending, progress)
                if sampling_now:
                    self._sample(step, state, tools)
                if saving:
                    self._save(step, state, stream, tools)
                progress.resume()
        if step < self.total:
            self._report(step, pending, progress)
            self._save(step, state, stream, tools, even_if_saved=False)
            self.checkpoints.wait()
            log.info("stopped at step %d, saved; the same command resumes", step)
        else:
            self._close(state, tools)
        return state

    def _stopping(self, step):
        # Agreeing costs a collective, so many hosts look only now and then, at the same steps.
        if jax.process_count() > 1 and step % self.config.train.log_every:
            return False
        return self.stop.agreed()

    def _open_validation(self):
        """Validation images, or the training ones where there are none of both kinds."""
        source, info = open_checked(self.config, "val", needed=False)
        if info is None or not info.num_defects or not info.num_normals:
            log.warning("no validation images of both kinds: grids and scores use training images")
            return self.source
        if info.classes != self.info.classes:
            raise ConfigError(
                f"the split 'val' has the classes {', '.join(info.classes)}, training has "
                f"{', '.join(self.info.classes)}; every split needs the same"
            )
        return source

    def _report(self, step, pending, progress):
        """Fetch the scalars since the last report, check them, write their means; [] again."""
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
            steps_per_s, images_per_s = progress.rates()
            rates = {"rate/steps_per_s": steps_per_s, "rate/images_per_s": images_per_s}
            self.writer.scalars(step, means | rates)
            shown = {name.split("/")[1]: means[name] for name in SHOWN if name in means}
            log.info("%s", progress.line(step, steps_per_s, shown))
        return []

    def _infer(self, state, tools):
        return lambda request: jax.device_get(tools.infer(state.ema, request))

    def _sample(self, step, state, tools):
        drawn = self._infer(state, tools)
        (batch,) = self.pairs
        grid = sampling.sample_grid(batch, drawn(sampling.request_of(batch)))
        if self.lead:
            images.write_image(self.path / "samples" / f"{step}.png", grid)
            self.writer.image(step, "samples", grid)

    def _save(self, step, state, stream, tools, even_if_saved=True):
        exists = (self.checkpoints.directory / str(step)).exists()
        if step == 0 or (exists and not even_if_saved):
            return
        score = sampling.validation_score(self.pairs, self._infer(state, tools))
        self.writer.scalars(step, {"val/rec": score})
        data = {
            "position": stream.get_state(),
            "fingerprint": self.info.fingerprint,
            "classes": list(self.info.classes),
        }
        self.checkpoints.save(step, state, data, config_lib.to_dict(self.config), score)

    def _close(self, state, tools):
        """The closing figures, printed and in summary.json."""
        pairs = sampling.Pairs(
            self.config, self.val, self.config.train.summary_pairs, self.pairs.batch_size
        )
        summary = sampling.transfer_summary(
            pairs, self._infer(state, tools), lambda x: tools.classify(state.nets, x)
        )
        for line in sampling.describe_summary(summary):
            log.info("%s", line)
        if self.lead:
            summary = {"step": int(state.step), **summary}
            (self.path / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
            log.info("done: %s", self.path)


class Programs(NamedTuple):
    """The compiled programs of a run, the seconds that compiling took, and the step's cost."""

    step: Callable
    regularize: Callable | None
    infer: Callable
    classify: Callable
    seconds: dict
    cost: dict


def compile_steps(method, config, mesh, state):
    """Compile step and regularize for the global batch of `config` -> Programs."""
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)
    spec = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows)
        for name, x in pipeline.batch_spec(config).items()
    }
    seconds, compiled = {}, {}
    programs = {"step": method.step}
    if method.lazy_every:
        programs["regularize"] = method.regularize
    for name, function in programs.items():
        start = time.monotonic()
        jitted = jax.jit(
            function, donate_argnums=0, in_shardings=(whole, rows), out_shardings=whole
        )
        compiled[name] = jitted.lower(state, spec).compile()
        seconds[name] = time.monotonic() - start
        log.info("compiled %s in %.1f s", name, seconds[name])
    key = jax.random.key(config.seed)  # one noise for all grids: they differ by training alone
    infer = jax.jit(lambda ema, request: method.infer(ema, request, key), out_shardings=whole)
    classify = jax.jit(method.classify, out_shardings=whole)
    cost = compiled["step"].cost_analysis() or {}
    return Programs(compiled["step"], compiled.get("regularize"), infer, classify, seconds, cost)


def open_checked(config, split, needed=True):
    """(source, DataInfo) of a split after all checks; (None, None) if empty and not needed."""
    source = catalog.open_source(config, split)
    if not len(source):
        if needed:
            raise ConfigError(f"the split {split!r} of {config.data.path} holds no images")
        return None, None
    catalog.check_sizes(source, config)
    return source, catalog.describe(source)


def _data_line(source, info, config):
    counts = ", ".join(f"{name} {count}" for name, count in info.counts.items())
    path = f" {config.data.path}" if config.data.path else ""
    skipped = getattr(source, "skipped", 0)  # only folders are audited
    without = f" ({skipped} bad files skipped)" if skipped else ""
    return (
        f"{config.data.source}{path} ({config.data.split}): {counts}{without}; "
        f"{config.data.res} px, {config.data.channels} channel(s), fingerprint {info.fingerprint}"
    )
