"""The only training loop: data, compiled steps, progress, sample grids, checkpoints, resume."""

import contextlib
import functools
import json
import logging
import math
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import config as config_lib
from dtgan import images, sharding
from dtgan.config import ConfigError
from dtgan.data import catalog, pipeline
from dtgan.methods.registry import make_method
from dtgan.runs import workdir as workdir_lib
from dtgan.runs.checkpoints import Checkpoints
from dtgan.runs.writers import Progress, Writer
from dtgan.sampling import sampler as sampling
from dtgan.training.resident import Resident
from dtgan.training.signals import StopSignal

log = logging.getLogger("dtgan")

SHOWN = ("loss/G", "loss/D", "loss/rec", "loss/structure", "loss/cls_g")  # in log lines


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
        stop = stack.enter_context(StopSignal())
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
    """One run: what its loop needs, made before anything compiles."""

    def __init__(self, config, path, stop):
        self.config, self.path, self.stop = config, path, stop
        self.lead, self.mesh = sharding.is_lead(), sharding.make_mesh()
        self.source, self.info = catalog.open_checked(config, config.data.split)
        pipeline.need_both_kinds(self.source)
        self.cached = pipeline.CachedSource.of(self.source, config)
        self.put = functools.partial(sharding.put_batch, mesh=self.mesh)
        if config.data.resident:
            self.put = Resident(config, self.cached, self.mesh)
        self.val = self._open_validation()
        rows = min(config.train.sample_rows, config.train.summary_pairs)
        self.pairs = sampling.Pairs(config, self.val, rows, rows)
        self.total = config_lib.to_steps(
            config.train.duration, config.data.batch_size, self.info.num_defects
        )
        self.method = make_method(config, len(self.info.classes))
        self.checkpoints = Checkpoints(path, config.checkpoint.keep)
        whole, key = sharding.replicated(self.mesh), jax.random.key(config.seed)
        # One noise for all grids of a run: they differ by training alone.
        self.infer = jax.jit(lambda ema, x: self.method.infer(ema, x, key), out_shardings=whole)
        self.score = jax.jit(lambda ema, x: self.method.score(ema, x, key), out_shardings=whole)
        self.classify = jax.jit(self.method.classify, out_shardings=whole)

    def train(self):
        """Restore or initialise, then step to the end."""
        with contextlib.ExitStack() as stack:
            # On any way out a save under way is finished: what was good stays good.
            stack.callback(self.checkpoints.close)
            state, position = self._restore()
            first = self.saved_step = int(state.step)
            if self.lead:
                text = config_lib.to_json(self.config) + "\n"
                workdir_lib.write_text(self.path / "config.json", text)
            self.writer = Writer(self.path, first, self.lead)
            stack.callback(self.writer.close)
            if first >= self.total:
                log.info("already at step %d of %d: nothing to train", first, self.total)
            else:
                if self.lead:  # closing figures tell that a run has ended, and this one goes on
                    (self.path / "summary.json").unlink(missing_ok=True)
                stream = pipeline.train_iterator(
                    self.config, self.cached, jax.process_index(), jax.process_count()
                )
                stack.callback(stream.close)
                if position is not None:
                    stream.set_state(position)
                state = self._loop(state, stream, first)
                self.checkpoints.wait()
            if int(state.step) >= self.total:
                self._close(state)
            return state

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
        programs = compile_steps(self.method, config, self.mesh, state)
        progress = Progress(step, self.total, 2 * config.data.batch_size)
        pending = []
        while step < self.total and not self._stopping(step):
            with progress.waiting():
                batch = self.put(next(stream))
            metrics = {}
            if self.method.lazy_every and step % self.method.lazy_every == 0:
                state, metrics = programs.regularize(state, batch)
            state, losses = programs.step(state, batch)
            step += 1
            pending.append(metrics | losses)

            last = step == self.total
            sampling_now = last or step % train.sample_every == 0
            saving = last or step % config.checkpoint.every == 0
            # The first step is told at once: it shows that the run is alive, and where it began.
            if sampling_now or saving or step == 1 or step % train.log_every == 0:
                pending = self._report(step, pending, progress)
                if sampling_now:
                    self._sample(step, state)
                if saving:
                    self._save(step, state, stream)
                progress.resume()
        if step < self.total:
            self._report(step, pending, progress)
            self._save(step, state, stream)
            self.checkpoints.wait()  # "saved" is said of what is on disk
            saved = "saved; the same command resumes" if step else "nothing to save yet"
            log.info("stopped at step %d, %s", step, saved)
        return state

    def _stopping(self, step):
        # Agreeing costs a collective, so many hosts look only now and then, at the same steps.
        if jax.process_count() > 1 and step % self.config.train.log_every:
            return False
        return self.stop.agreed()

    def _open_validation(self):
        """Validation images, or the training ones where there are none of both kinds."""
        if "val" in self.config.data.split.split("+"):
            log.warning("data.split=%s: validation images are trained on", self.config.data.split)
        source, info = catalog.open_checked(self.config, "val", needed=False)
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
            rates = progress.rates()
            self.writer.scalars(step, means | rates)
            shown = {name.split("/")[1]: means[name] for name in SHOWN if name in means}
            log.info("%s", progress.line(step, rates["rate/steps_per_s"], shown))
        return []

    def _draw(self, state):
        return lambda request: jax.device_get(self.infer(state.ema, request))

    def _sample(self, step, state):
        (batch,) = self.pairs
        grid = sampling.sample_grid(batch, self._draw(state)(sampling.request_of(batch)))
        if self.lead:
            images.write_image(self.path / "samples" / f"{step}.png", grid)
            self.writer.image(step, "samples", grid)

    def _save(self, step, state, stream):
        """Save, once a step, a state whose every number is finite."""
        if step == self.saved_step:
            return
        # A loss is computed before the update that may break the parameters.
        for name, fine in jax.device_get(all_finite(state)).items():
            if not fine:
                raise Diverged(
                    f"the parameters of {name} are not finite after step {step}; the last good "
                    "checkpoint is kept. Lower optim.lr and run again"
                )
        (batch,) = self.pairs
        score = float(jax.device_get(self.score(state.ema, sampling.request_of(batch))))
        self.writer.scalars(step, {"val/score": score})
        data = {
            "position": stream.get_state(),
            "fingerprint": self.info.fingerprint,
            "classes": list(self.info.classes),
        }
        self.checkpoints.save(step, state, data, config_lib.to_dict(self.config), score)
        self.saved_step = step

    def _close(self, state):
        """The closing figures, printed and in summary.json; once for every end of training."""
        file = self.path / "summary.json"
        if file.exists() and json.loads(file.read_text())["step"] == int(state.step):
            return
        pairs = sampling.Pairs(
            self.config, self.val, self.config.train.summary_pairs, self.pairs.batch_size
        )
        summary = sampling.transfer_summary(
            pairs, self._draw(state), lambda x: self.classify(state.nets, x)
        )
        for line in sampling.describe_summary(summary):
            log.info("%s", line)
        if self.lead:
            summary = {"step": int(state.step), **summary}
            workdir_lib.write_text(file, json.dumps(summary, indent=2) + "\n")
            log.info("done: %s", self.path)


@jax.jit
def all_finite(state):
    """{net: whether its parameters and optimizer state hold no NaN or infinity} of a GanState."""

    def fine(tree):
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))

    return {name: fine(net) for name, net in state.nets.items()}


class Programs(NamedTuple):
    """The compiled programs of a run and the seconds that compiling each took."""

    step: Callable
    regularize: Callable | None
    seconds: dict


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
    return Programs(compiled["step"], compiled.get("regularize"), seconds)


def step_flops(method, config, state):
    """FLOPs of a step of `method` over the global batch, as its equations have them.

    They are counted in the program for a TPU, before it is compiled: the one for a CPU also
    multiplies zeros (dtgan/nn/convolution.py), and the one for a GPU calls libraries.
    """
    traced = jax.jit(method.step).trace(state, pipeline.batch_spec(config))
    return traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]


def _data_line(source, info, config):
    counts = ", ".join(f"{name} {count}" for name, count in info.counts.items())
    path = f" {config.data.path}" if config.data.path else ""
    skipped = getattr(source, "skipped", 0)  # only folders are audited
    without = f" ({skipped} bad files skipped)" if skipped else ""
    return (
        f"{config.data.source}{path} ({config.data.split}): {counts}{without}; "
        f"{config.data.res} px, {config.data.channels} channel(s), fingerprint {info.fingerprint}"
    )
