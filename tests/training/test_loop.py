"""Pins the guard between training and checkpoints, and that a kill loses one interval at most."""

import time

import jax.numpy as jnp

from dtgan import cli
from dtgan.runs.checkpoints import Checkpoints, verified_steps
from dtgan.state import GanState, NetState
from dtgan.training.loop import all_finite, train_and_evaluate
from dtgan.training.programs import Programs
from tests.methods import toys


def test_broken_numbers_are_found_and_named_wherever_they_are():
    """An update can break parameters after the losses of its step were still finite."""
    good = NetState({"w": jnp.ones(3)}, (jnp.zeros((), jnp.int32), {"w": jnp.ones(3)}))
    bad = NetState({"w": jnp.array([1.0, jnp.inf, 1.0])}, good.opt_state)
    worse = NetState(good.params, (jnp.zeros((), jnp.int32), {"w": jnp.full(3, jnp.nan)}))
    nets = {"E": good, "G": bad, "D": worse}
    ema = {"E": {"w": jnp.ones(3)}, "G": {"w": jnp.array([jnp.nan])}}
    extra = {"ada_p": jnp.array(jnp.nan), "seen": jnp.array(3), "pool": jnp.ones((2, 2))}
    state = GanState(jnp.array(5), jnp.array(0), nets, ema, extra)
    broken = {name for name, fine in all_finite(state).items() if not fine}
    assert broken == {
        "the state of G",
        "the state of D",
        "the running mean of G",
        "extra['ada_p']",
    }


def test_no_step_begins_before_the_last_save_is_on_disk(tmp_path, monkeypatch):
    """A kill then loses one interval at most, however slow the disk is."""
    write, run, missing = Checkpoints._write_checksums, Programs.step, []

    def slowly(self):
        time.sleep(0.3)
        write(self)

    def step(self, state, batch, number):
        due = number // 2 * 2
        if due and not (tmp_path / "checkpoints" / str(due)).is_dir():
            missing.append(number)
        return run(self, state, batch, number)

    monkeypatch.setattr(Checkpoints, "_write_checksums", slowly)
    monkeypatch.setattr(Programs, "step", step)
    with toys.registered():
        config = cli.read_config("tests/smoke.py:dots")
        config.data.batch_size, config.train.duration = 8, "7steps"
        config.data.classes = "tear"
        train_and_evaluate(config, tmp_path)
    assert missing == [] and verified_steps(tmp_path / "checkpoints")[0] == [6, 7]
