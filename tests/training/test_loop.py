"""Pins the guard between training and checkpoints, and runs without anything to train."""

import jax.numpy as jnp

from dtgan.state import GanState, NetState
from dtgan.training.loop import all_finite


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
