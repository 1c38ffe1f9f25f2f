"""Checkpoints through Orbax: saves, checksums, restore of the newest good step.

`checkpoints/<step>/` holds the items state (all but the EMA), ema, data (position in the stream,
data fingerprint, number of the format) and config (JSON), and checksums.json. Orbax writes into a
temporary directory and renames it at the end; the checksums are written just before, so that a
directory with a number for a name is complete, and one that does not match its checksums was
damaged later.
"""

import contextlib
import hashlib
import json
import logging
import math
import pathlib
import shutil
import sys
import textwrap

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from orbax.checkpoint import checkpoint_managers as policies

from dtgan.config import ConfigError
from dtgan.files import parse_object, set_aside, sync, sync_tree

log = logging.getLogger("dtgan")

FORMAT = 1  # of a checkpoint; raise it when readers of before would misread one
CHECKSUMS = "checksums.json"
DELETED = "deleted"  # folder of steps that go: a kill amid a deletion must not look like damage
TIMES = "_CHECKPOINT_METADATA"  # Orbax's notes on its own timing, rewritten after the checksums
SCORE = "score"  # the metric by which the best checkpoint is kept: lower is better


class NotSaved(OSError):
    """A checkpoint that could not be written."""


class Checkpoints:
    """The checkpoints of one run. Every process of the run makes one and calls every method."""

    def __init__(self, workdir, keep=2):
        """`keep`: newest steps kept, beside the best. Opens, but does not write."""
        self.directory = pathlib.Path(workdir).absolute() / "checkpoints"
        self._keep = keep
        self._manager = None
        _hear_no_closed_loops()

    def save(self, step, state, data, config, score=None):
        """Save GanState `state`, the JSON-able `data` and `config`; returns while it is written.

        score: lower is better; a NaN or infinity is saved as none, since it ranks nowhere.
        Raises NotSaved where the step exists, and where a save failed, this one or the one before.
        """
        if score is not None and not math.isfinite(score):
            log.warning(
                "the score of step %d is %s: saved without one, never the best", step, score
            )
            score = None
        items = {
            "state": ocp.args.StandardSave(state._replace(ema={})._asdict()),
            "data": ocp.args.JsonSave({**data, "format": FORMAT}),
            "config": ocp.args.JsonSave(config),
        }
        if jax.tree.leaves(state.ema):  # Orbax refuses an item without arrays
            items["ema"] = ocp.args.StandardSave(state.ema)
        with _one_line(self.directory):
            self._open().save(
                step,
                args=ocp.args.Composite(**items),
                metrics=None if score is None else {SCORE: float(score)},
                force=True,
            )

    def restore(self, abstract, sharding):
        """Restore (GanState, data) of the newest good step; None where there are no checkpoints.

        abstract: a GanState of shapes and types. A damaged step is named in the log, set aside as
        `<step>.damaged` and never used. Raises ConfigError where checkpoints exist and none is
        good.
        """
        newest = self._newest()
        if newest is None:
            return None
        workdir = self.directory.parent
        state = restore_state(workdir, newest, abstract, sharding)
        return state, read_json_item(workdir, newest, "data")

    def exist(self):
        """Tell whether the run has saved anything, damaged or not; half of a save is nothing."""
        return any(path.name.isdigit() for path in self.directory.glob("[0-9]*"))

    def wait(self):
        """Wait until all saves are on disk."""
        if self._manager:
            with _one_line(self.directory):
                self._manager.wait_until_finished()
            self._tidy()

    def close(self):
        """Finish the saves and release the directory."""
        if self._manager:
            manager, self._manager = self._manager, None
            with _one_line(self.directory):
                manager.close()
            self._tidy()

    def _tidy(self):
        if jax.process_index() == 0:
            shutil.rmtree(self.directory / DELETED, ignore_errors=True)
        sync(self.directory)

    def _open(self):
        if self._manager is None:
            best = policies.BestN(
                get_metric_fn=_rank,
                reverse=True,
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            options = ocp.CheckpointManagerOptions(
                create=True,
                cleanup_tmp_directories=True,
                todelete_subdir=DELETED,
                # Not best_fn with max_to_keep: that deletes the newest step unless it is the best.
                preservation_policy=policies.AnyPreservationPolicy(
                    [policies.LatestN(self._keep), best]
                ),
                best_fn=_rank,
                best_mode="min",
                async_options=ocp.options.AsyncOptions(
                    post_finalization_callback=self._write_checksums
                ),
            )
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        return self._manager

    def _write_checksums(self):
        """Write the checksums of a complete step; Orbax calls this before the final rename."""
        if jax.process_index() == 0:
            for directory in self.directory.glob("*.orbax-checkpoint-tmp"):
                (directory / CHECKSUMS).write_text(json.dumps(_checksums(directory)))
                sync_tree(directory)

    def _newest(self):
        """Find the newest good step or None; the lead process checks and decides for all."""
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
            set_aside(self.directory / str(step), reason)


def _hear_no_closed_loops():
    """Let no thread print that it reports a write to an event loop that is closed.

    After one write has failed TensorStore's threads would print that for others, a traceback each.
    """
    hear = sys.unraisablehook
    if getattr(hear, "__name__", "") == "unless_closed":
        return

    def unless_closed(told):
        if str(told.exc_value) != "Event loop is closed":
            hear(told)

    sys.unraisablehook = unless_closed


@contextlib.contextmanager
def _one_line(directory):
    """Turn what Orbax raises while it writes in `directory` to NotSaved."""
    try:
        yield
    except Exception as error:  # of any type: its threads, TensorStore's and the file system's
        reason = textwrap.shorten(str(error), 200) or type(error).__name__
        free = shutil.disk_usage(directory.parent).free / 1e6
        raise NotSaved(
            f"a checkpoint in {directory} could not be saved ({reason}); the disk has {free:.1f} "
            "MB free. What was saved before is kept, and the same command goes on from there"
        ) from error


def _is_foreign(record):
    """Let pass what Orbax does not log: what it logs it raises as well, to `_one_line`."""
    return "orbax" not in pathlib.Path(record.pathname).parts


absl_logging.get_absl_logger().addFilter(_is_foreign)


def verified_steps(directory):
    """Verify every file of the checkpoints: (good steps in order, {damaged step: reason})."""
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
    """Find the one of some good steps with the lowest score; None where none was scored."""
    scores = {}
    for step in steps:
        file = pathlib.Path(directory) / str(step) / "metrics" / "metrics"  # Orbax's own names
        if file.exists():
            scores[step] = _rank(json.loads(file.read_text()))
    scores = {step: score for step, score in scores.items() if math.isfinite(score)}
    return min(scores, key=scores.get, default=None)


def _rank(metrics):
    """Return the score in saved metrics; infinity for a NaN, which old checkpoints may hold."""
    return metrics[SCORE] if math.isfinite(metrics[SCORE]) else math.inf


def step_digest(workdir, step):
    """Return the SHA-256 that names the content of one good step."""
    directory = pathlib.Path(workdir) / "checkpoints" / str(step)
    return hashlib.sha256((directory / CHECKSUMS).read_bytes()).hexdigest()


def restore_state(workdir, step, abstract, sharding):
    """Restore the GanState of one step, shaped like `abstract` and laid out by `sharding`."""
    without_ema = abstract._replace(ema={})._asdict()
    items = _restore_item(workdir, step, "state", without_ema, sharding)
    ema = restore_ema(workdir, step, abstract.ema, sharding)
    state = type(abstract)(**items | {"ema": ema})
    # NamedTuples come back as what the abstract tree holds; fail here, not in the step.
    assert jax.tree.structure(state) == jax.tree.structure(abstract)
    return state


def restore_ema(workdir, step, abstract, sharding=None):
    """Restore the EMA parameters of one step, shaped like `abstract`, by default on one device."""
    if not jax.tree.leaves(abstract):
        return abstract
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return _restore_item(workdir, step, "ema", abstract, sharding)


def _restore_item(workdir, step, item, abstract, sharding):
    """Restore one item. Raises ConfigError where it has other arrays than its config describes."""
    directory = pathlib.Path(workdir).absolute() / "checkpoints" / str(step) / item
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract
    )
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(directory, target)
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise ConfigError(
            f"{directory} does not hold the arrays that its config describes ({reason}); use "
            "another checkpoint"
        ) from error
    return found


def read_json_item(workdir, step, item):
    """Read the `config` or `data` item of one step, a dict; one process may do so alone.

    Raises ConfigError for one that is damaged, of a later format, or not of our types: it may be a
    stranger's. Raises OSError where there is none.
    """
    file = pathlib.Path(workdir) / "checkpoints" / str(step) / item / "metadata"  # Orbax's own name
    try:
        found = parse_object(file.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{file} is damaged ({error}); use another checkpoint") from None
    written = found.pop("format", 1) if item == "data" else FORMAT
    if not isinstance(written, int) or written > FORMAT:
        raise ConfigError(
            f"checkpoint {step} of {workdir} has the format {written!r}, this dtgan reads those up "
            f"to {FORMAT}; use the version that wrote it, or a later one"
        )
    strange = [name for name, fits in _TYPES.items() if name in found and not fits(found[name])]
    if item == "data" and strange:
        raise ConfigError(
            f"{file}: {strange[0]} is not of the type that dtgan writes; use another checkpoint"
        )
    return found


def _is_count(value):
    """Tell whether a value is a whole number >= 0, or a dict of such."""
    if isinstance(value, dict):
        return all(map(_is_count, value.values()))
    return type(value) is int and value >= 0


# Of the item `data`. The position in the stream is whoever made the stream's: numbers by name.
_TYPES = {
    "classes": lambda x: isinstance(x, list) and all(isinstance(name, str) for name in x),
    "fingerprint": lambda x: isinstance(x, str),
    "position": lambda x: x is None or _is_count(x),
    "donor": lambda x: (
        isinstance(x, dict)
        and all(isinstance(x.get(name), str) for name in ("workdir", "digest"))
        and _is_count(x.get("step"))
    ),
}


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
    """Return why a step must not be used, or '' for a good one."""
    try:
        expected = parse_object((directory / CHECKSUMS).read_bytes())
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
