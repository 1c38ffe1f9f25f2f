"""Pins that only complete, undamaged checkpoints are used, and which ones are kept."""

import json
import logging
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan import sharding
from dtgan.config import ConfigError
from dtgan.runs.checkpoints import (
    FORMAT,
    TIMES,
    Checkpoints,
    NotSaved,
    best_step,
    read_json_item,
    restore_ema,
    step_digest,
    verified_steps,
)
from dtgan.state import GanState, NetState

pytestmark = pytest.mark.faults


def state_at(step):
    params = {"w": jnp.full((64, 64), float(step)), "b": jnp.arange(3.0)}
    net = NetState(params, (jnp.ones((), jnp.int32), jax.tree.map(jnp.zeros_like, params)))
    ema = {"G": jax.tree.map(lambda x: x * 2, params)}
    return GanState(jnp.array(step, jnp.int32), jax.random.key(7), {"G": net}, ema, {})


ABSTRACT = jax.eval_shape(lambda: state_at(0))
WHOLE = sharding.replicated(sharding.make_mesh())


def save(tmp_path, steps, scores=None, keep=2):
    checkpoints = Checkpoints(tmp_path, keep)
    for i, step in enumerate(steps):
        checkpoints.save(
            step, state_at(step), {"position": step}, {"seed": 0}, (scores or [1] * 99)[i]
        )
    checkpoints.close()


def restore(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    try:
        return checkpoints.restore(ABSTRACT, WHOLE)
    finally:
        checkpoints.close()


def test_round_trip(tmp_path):
    assert restore(tmp_path) is None
    save(tmp_path, [1, 2])
    state, data = restore(tmp_path)
    assert data == {"position": 2} and isinstance(state.nets["G"], NetState)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(state_at(2)), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)
    items = {p.name for p in (tmp_path / "checkpoints" / "2").iterdir() if p.is_dir()}
    assert {"state", "ema", "data", "config"} <= items
    assert read_json_item(tmp_path, 2, "config") == {"seed": 0}
    np.testing.assert_array_equal(restore_ema(tmp_path, 1, ABSTRACT.ema)["G"]["w"][0, 0], 2.0)


def test_newest_and_best_are_kept(tmp_path):
    save(tmp_path, [1, 2, 3, 4, 5], scores=[3, 0.5, 2, 2, 2])
    directory = tmp_path / "checkpoints"
    assert verified_steps(directory) == ([2, 4, 5], {})
    assert best_step(directory, [2, 4, 5]) == 2 and best_step(directory, [4]) == 4
    assert best_step(directory, []) is None
    assert len({step_digest(tmp_path, step) for step in (2, 4, 5)}) == 3


def test_a_score_that_is_no_number_ranks_nowhere(tmp_path, caplog):
    """It must not displace the best step, nor be named the best, nor be beaten by any score."""
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.WARNING, logger="dtgan"):
        save(tmp_path, [1, 2, 3, 4], scores=[0.3, float("nan"), 0.9, 0.9])
    directory = tmp_path / "checkpoints"
    assert verified_steps(directory) == ([1, 3, 4], {})
    assert best_step(directory, [1, 3, 4]) == 1
    assert "the score of step 2 is nan: saved without one" in caplog.text


def test_a_nan_in_an_old_checkpoint_ranks_last(tmp_path):
    save(tmp_path, [1, 2, 3], scores=[0.3, 0.5, 0.9], keep=3)
    directory = tmp_path / "checkpoints"
    (directory / "2" / "metrics" / "metrics").write_text('{"score": NaN}')
    assert best_step(directory, [1, 2, 3]) == 1 and best_step(directory, [2]) is None
    save(tmp_path, [4, 5], scores=[0.9, 0.9])
    assert [p.name for p in sorted(directory.glob("[0-9]*"))] == ["1", "4", "5"]


def test_a_family_without_parameters_is_saved_and_restored(tmp_path):
    bare = GanState(jnp.zeros((), jnp.int32), jax.random.key(7), {}, {}, {})
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, bare, {"position": None}, {"seed": 0})
    checkpoints.close()
    state, data = Checkpoints(tmp_path).restore(jax.eval_shape(lambda: bare), WHOLE)
    assert int(state.step) == 0 and data == {"position": None}
    assert restore_ema(tmp_path, 0, {}) == {}


def test_saving_a_step_twice_is_an_error_not_a_silent_skip(tmp_path):
    save(tmp_path, [1])
    with pytest.raises(Exception, match="exist"):
        save(tmp_path, [1])


def files_of(tmp_path, step):
    root = tmp_path / "checkpoints" / str(step)
    return [p for p in sorted(root.rglob("*")) if p.is_file() and p.stat().st_size]


def damage_flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def damage_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [damage_flip, damage_cut, lambda path: path.unlink()])
def test_any_damaged_file_disqualifies_its_step(tmp_path, damage, caplog):
    """Every file of the newest step in turn, one per copy; the step before it is taken."""
    import shutil

    save(tmp_path / "good", [1, 2])
    for i, _ in enumerate(files_of(tmp_path / "good", 2)):
        copy = tmp_path / f"copy{i}"
        shutil.copytree(tmp_path / "good", copy)
        path = files_of(copy, 2)[i]
        if path.parent.name == "2" and path.name in ("commit_success.txt", TIMES):
            continue  # Orbax's mark and times, written after all data; they are not restored
        damage(path)
        good, damaged = verified_steps(copy / "checkpoints")
        assert good == [1] and list(damaged) == [2], path

    damage(files_of(tmp_path / "good", 2)[-1])
    logger = logging.getLogger("dtgan")
    logger.propagate = True
    with caplog.at_level(logging.WARNING, logger="dtgan"):
        state, data = restore(tmp_path / "good")
    assert int(state.step) == 1 and data == {"position": 1}
    assert "checkpoints/2 is damaged" in caplog.text
    assert (tmp_path / "good" / "checkpoints" / "2.damaged").is_dir()  # nothing is lost
    save(tmp_path / "good", [2])  # and its number is free again
    assert verified_steps(tmp_path / "good" / "checkpoints") == ([1, 2], {})


def test_only_damaged_checkpoints_end_the_run(tmp_path):
    save(tmp_path, [1])
    damage_flip(files_of(tmp_path, 1)[-1])
    for _ in range(2):  # the same command again must not start from scratch
        with pytest.raises(ConfigError, match=r"all checkpoints .* are damaged"):
            restore(tmp_path)


def test_threads_that_report_after_a_failed_save_are_not_heard(monkeypatch, tmp_path):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    for name in ("a", "b"):
        Checkpoints(tmp_path / name).close()
    for text in ("Event loop is closed", "something else"):
        sys.unraisablehook(types.SimpleNamespace(exc_value=RuntimeError(text)))
    assert [str(told.exc_value) for told in heard] == ["something else"]


def test_a_save_that_fails_is_told_in_one_line(tmp_path):
    """A file in the place of the folder stands for a full disk."""
    (tmp_path / "checkpoints").write_text("")
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(NotSaved, match=r"could not be saved \(.*the disk has .* MB free") as failed:
        checkpoints.save(1, state_at(1), {"position": 1}, {"seed": 0})
        checkpoints.close()
    assert "\n" not in str(failed.value)


def test_all_of_a_checkpoint_is_on_disk_before_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("dtgan.runs.checkpoints.sync_tree", synced.append)
    save(tmp_path, [1])
    (folder,) = synced
    assert folder.name.startswith("1.") and not folder.exists()  # it was renamed afterwards


def test_a_step_is_renamed_before_it_is_deleted(tmp_path, monkeypatch):
    """So that one half deleted by a kill is no damaged one; what a kill left goes with the next."""
    removed = []
    monkeypatch.setattr(
        "dtgan.runs.checkpoints.shutil.rmtree",
        lambda folder, **_: removed.append(sorted(p.name for p in folder.glob("*"))),
    )
    save(tmp_path, [1, 2, 3, 4], scores=[4, 3, 2, 1])
    assert ["1", "2"] in removed and verified_steps(tmp_path / "checkpoints") == ([3, 4], {})
    monkeypatch.undo()
    save(tmp_path, [5], scores=[0])
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["4", "5"]


def change(tmp_path, item, **fields):
    file = tmp_path / "checkpoints" / "1" / item / "metadata"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": FORMAT + 1}, "has the format 2, this dtgan reads those up to 1"),
        ({"format": "x"}, "has the format 'x'"),
        ({"classes": [1]}, "classes is not of the type"),
        ({"classes": "normal"}, "classes is not of"),
        ({"fingerprint": {}}, "fingerprint is not of"),
    ],
)
def test_strange_data_are_refused_in_a_line(tmp_path, fields, message):
    folder = tmp_path / "checkpoints" / "1" / "data"
    folder.mkdir(parents=True)
    (folder / "metadata").write_text('{"position": 1}')
    assert read_json_item(tmp_path, 1, "data") == {"position": 1}  # format 1 had no number once
    change(tmp_path, "data", **fields)
    with pytest.raises(ConfigError, match=message):
        read_json_item(tmp_path, 1, "data")
    (folder / "metadata").write_bytes(b"[")
    with pytest.raises(ConfigError, match="is damaged"):
        read_json_item(tmp_path, 1, "data")


def test_every_checkpoint_says_its_format(tmp_path):
    save(tmp_path, [1])
    file = tmp_path / "checkpoints" / "1" / "data" / "metadata"
    assert json.loads(file.read_text())["format"] == FORMAT


@pytest.mark.parametrize("strange", ["shape", "names", "fewer"])
def test_arrays_that_the_config_does_not_describe_are_refused(tmp_path, strange):
    save(tmp_path, [1])
    wanted = {
        "shape": {
            "G": {"w": jax.ShapeDtypeStruct((128, 64), jnp.float32), "b": ABSTRACT.ema["G"]["b"]}
        },
        "names": {"G": {"other": ABSTRACT.ema["G"]["w"]}},
        "fewer": {"G": ABSTRACT.ema["G"]["w"]},
    }[strange]
    with pytest.raises(ConfigError, match="does not hold the arrays that its config describes"):
        restore_ema(tmp_path, 1, wanted)


def test_unfinished_directories_are_no_checkpoints(tmp_path):
    save(tmp_path, [1])
    (tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert verified_steps(tmp_path / "checkpoints") == ([1], {})
    assert int(restore(tmp_path)[0].step) == 1
