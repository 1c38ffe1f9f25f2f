"""Checkpoints through Orbax: asynchronous saves, checksums, restore of the newest good step.

`checkpoints/<step>/` holds the items state (all but the EMA), ema, data (position in the stream,
data fingerprint) and config (JSON), and checksums.json. Orbax writes into a temporary directory and
renames it at the end; the checksums are written just before, so that a directory with a number for
a name is complete, and one that does not match its checksums was damaged later.
"""

import hashlib
import itertools
import json
import logging
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from dtgan.config import ConfigError

log = logging.getLogger("dtgan")

CHECKSUMS = "checksums.json"
TIMES = "_CHECKPOINT_METADATA"  # Orbax's notes on its own timing, rewritten after the checksums
SCORE = "score"  # the metric by which the best checkpoint is kept: lower is better


class Checkpoints:
    """The checkpoints of one run. Every process of the run makes one and calls every method."""

    def __init__(self, workdir, keep=2):
        """`keep`: newest steps kept, beside the best. Opens, but does not write."""
        self.directory = pathlib.Path(workdir).absolute() / "checkpoints"
        self._keep = keep
        self._manager = None

    def save(self, step, state, data, config, score=None):
        """Save GanState `state`, the JSON-able `data` and `config`; returns while it is written.

        Raises ValueError (from Orbax) where the step exists.
        """
        without_ema = state._replace(ema={})._asdict()
        self._open().save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(without_ema),
                ema=ocp.args.StandardSave(state.ema),
                data=ocp.args.JsonSave(data),
                config=ocp.args.JsonSave(config),
            ),
            metrics=None if score is None else {SCORE: float(score)},
            force=True,
        )

    def restore(self, abstract_state, sharding):
        """(GanState, data) of the newest good step, or None in a workdir without checkpoints.

        A damaged step is named in the log, set aside as `<step>.damaged` and never used. Raises
        ConfigError where checkpoints exist and none is good.
        """
        newest = self._newest()
        if newest is None:
            return None

        def abstract(tree):
            return jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
            )

        without_ema = abstract_state._replace(ema={})._asdict()
        items = self._open().restore(
            newest,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract(without_ema)),
                ema=ocp.args.StandardRestore(abstract(abstract_state.ema)),
                data=ocp.args.JsonRestore(),
            ),
        )
        state = type(abstract_state)(**items.state | {"ema": items.ema})
        # NamedTuples come back as what the abstract tree holds; fail here, not in the step.
        assert jax.tree.structure(state) == jax.tree.structure(abstract_state)
        return state, items.data

    def wait(self):
        """Return when all saves are on disk."""
        if self._manager:
            self._manager.wait_until_finished()

    def close(self):
        """Finish the saves and release the directory."""
        if self._manager:
            self._manager.close()
            self._manager = None

    def _open(self):
        if self._manager is None:
            best = policies.BestN(
                get_metric_fn=lambda metrics: metrics[SCORE],
                reverse=True,
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            options = ocp.CheckpointManagerOptions(
                create=True,
                cleanup_tmp_directories=True,
                # Not best_fn with max_to_keep: that deletes the newest step unless it is the best.
                preservation_policy=policies.AnyPreservationPolicy(
                    [policies.LatestN(self._keep), best]
                ),
                best_fn=lambda metrics: metrics[SCORE],
                best_mode="min",
                async_options=ocp.options.AsyncOptions(
                    post_finalization_callback=self._write_checksums
                ),
            )
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        return self._manager

    def _write_checksums(self):
        """Called by Orbax when a step is complete, before its directory gets its final name."""
        if jax.process_index() == 0:
            for directory in self.directory.glob("*.orbax-checkpoint-tmp"):
                (directory / CHECKSUMS).write_text(json.dumps(_checksums(directory)))

    def _newest(self):
        """The newest good step or None; the lead process checks and decides for all."""
        none, unusable = -1, -2
        answer = none
        if jax.process_index() == 0:
            good, damaged = verified_steps(self.directory)
            if good:
                answer = good[-1]
                self._set_aside(damaged)
            elif damaged:  # left where they are: the same command must fail again, not start anew
                answer = unusable
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            answer = int(multihost_utils.broadcast_one_to_all(np.array(answer)))
        if answer == unusable:
            raise ConfigError(
                f"all checkpoints in {self.directory} are damaged; restore them from a copy, or "
                "start again in another workdir"
            )
        return None if answer == none else answer

    def _set_aside(self, damaged):
        for step, reason in damaged.items():
            log.warning("checkpoint %d is damaged (%s): set aside, not used", step, reason)
            names = (f"{step}.damaged{i or ''}" for i in itertools.count())
            target = next(t for t in map(self.directory.joinpath, names) if not t.exists())
            (self.directory / str(step)).rename(target)


def verified_steps(directory):
    """(good steps in order, {damaged step: reason}) of a checkpoint directory; reads every file."""
    directory, good, damaged = pathlib.Path(directory), [], {}
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.name.isdigit():
                reason = _damage(path)
                if reason:
                    damaged[int(path.name)] = reason
                else:
                    good.append(int(path.name))
    return sorted(good), damaged


def best_step(directory, steps):
    """Of some good steps that with the lowest score; None where none was scored."""
    scores = {}
    for step in steps:
        file = pathlib.Path(directory) / str(step) / "metrics" / "metrics"  # Orbax's own names
        if file.exists():
            scores[step] = json.loads(file.read_text())[SCORE]
    return min(scores, key=scores.get, default=None)


def step_digest(workdir, step):
    """SHA-256 that names the content of one good step."""
    directory = pathlib.Path(workdir) / "checkpoints" / str(step)
    return hashlib.sha256((directory / CHECKSUMS).read_bytes()).hexdigest()


def restore_ema(workdir, step, abstract_ema):
    """The EMA parameters of one step as a tree like `abstract_ema`, on the default device."""
    directory = pathlib.Path(workdir).absolute() / "checkpoints" / str(step) / "ema"
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), abstract_ema
    )
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(directory, target)


def read_json_item(workdir, step, item):
    """The `config` or `data` item of one step."""
    path = pathlib.Path(workdir).absolute() / "checkpoints" / str(step) / item
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
        return checkpointer.restore(path)


def _checksums(directory):
    return {
        path.relative_to(directory).as_posix(): _sha256(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in (CHECKSUMS, TIMES)
    }


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage(directory):
    """Why a step must not be used, or '' for a good one."""
    try:
        expected = json.loads((directory / CHECKSUMS).read_text())
        json.loads((directory / TIMES).read_text())
        actual = _checksums(directory)
    except (OSError, ValueError) as error:
        return f"{CHECKSUMS} or {TIMES}: {error.__class__.__name__}"
    for name, digest in expected.items():
        if name not in actual:
            return f"{name} is missing"
        if actual[name] != digest:
            return f"{name} does not match its checksum"
    return ""
