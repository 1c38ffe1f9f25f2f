"""Pins the guard between training and checkpoints."""

import jax.numpy as jnp

from dtgan.state import GanState, NetState
from dtgan.training.loop import all_finite


def test_broken_parameters_are_found_and_named():
    """An update can break parameters after the losses of its step were still finite."""
    good = NetState({"w": jnp.ones(3)}, (jnp.zeros((), jnp.int32), {"w": jnp.ones(3)}))
    bad = NetState({"w": jnp.array([1.0, jnp.inf, 1.0])}, good.opt_state)
    worse = NetState(good.params, (jnp.zeros((), jnp.int32), {"w": jnp.full(3, jnp.nan)}))
    nets = {"E": good, "G": bad, "D": worse}
    state = GanState(jnp.array(5), jnp.array(0), nets, {}, {})
    assert {n: bool(f) for n, f in all_finite(state).items()} == {"E": True, "G": False, "D": False}
