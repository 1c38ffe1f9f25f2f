"""Pins StyleGAN2-ADA's update rules against numbers of the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from dtgan.methods.updates import adam, average_decay, ema_update, finite
from dtgan.nn.ada import adapt, rotation_chance
from tests import goldens

RULES, CONTROL = goldens.values("sg2_rules"), goldens.values("ada_control")


@pytest.mark.parametrize(
    ("name", "batch", "half_life", "ramp"),
    [
        ("auto256", 16, 5000, 0.05),
        ("auto256_resumed", 16, 5000, None),
        ("auto128", 32, 10000, 0.05),
        ("paper256", 64, 20000, None),
    ],
)
def test_decays_of_running_means(name, batch, half_life, ramp):
    found = [average_decay(float(step), batch, half_life, ramp) for step in RULES["ema.its"]]
    assert_allclose(found, RULES[f"ema.{name}"], rtol=2e-6)


def test_trace_of_a_running_mean():
    mean, values = goldens.drawn("ema/e", (3,)), goldens.drawn("ema/p", (5, 3))
    for step, value in enumerate(values):
        mean = ema_update(mean, value, average_decay(step, 16, 5000, 0.05))
        assert_allclose(mean, RULES["ema.trace"][step], rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("G_k4", (0.0025, 0.0, 0.99, 4)),
        ("D_k16", (0.0025, 0.0, 0.99, 16)),
        ("plain", (2e-4, 0.5, 0.999, 0)),
    ],
)
def test_adam_and_gradients_that_are_not_finite(name, settings):
    with jax.enable_x64(True):
        tx, params = adam(*settings), jnp.asarray(goldens.drawn("adam/p", (6,)), jnp.float64)
        state, broken = tx.init(params), {1: {0: np.nan}, 2: {1: np.inf, 2: -np.inf}}
        for t in range(4):
            g = goldens.drawn(f"adam/g{t}", (6,)).astype(np.float64)
            for entry, value in broken.get(t, {}).items():
                g[entry] = value
            updates, state = tx.update(finite(g), state, params)
            params = optax.apply_updates(params, updates)
            assert_allclose(params, RULES[f"adam.{name}"][t], rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "start", "early", "batch", "kimg"),
    [
        ("resumed_low", 0.0, [-1.0, -1.0], 16, 100),
        ("resumed_high", 0.999, [], 16, 100),
        ("scratch", 0.25, [], 32, 500),
    ],
)
def test_trace_of_the_chance_of_augmentation(name, start, early, batch, kimg):
    p = start
    for k, sign in enumerate([*early, *CONTROL["ctl.signs"]]):
        p = adapt(p, sign, 0.6, 4 * batch / (1000 * kimg))
        assert_allclose(p, CONTROL[f"ctl.{name}"][k], rtol=2e-6, atol=1e-9)
    assert (p > 1) == (name == "resumed_high")  # it has no upper bound


def test_chances_of_rotations_and_the_mean_sign():
    assert_allclose([rotation_chance(p) for p in CONTROL["ctl.p"]], CONTROL["ctl.p_rot"], atol=1e-7)
    # The regularisation's batch counts as those of the four main steps do: 0 in the mean.
    reports, mean = CONTROL["ctl.sign_reports"], float(CONTROL["ctl.collector_mean"])
    assert (
        adapt(0.5, reports, mean, 0.1) == 0.5 and adapt(0.5, reports[[0, 2, 3, 4]], mean, 0.1) > 0.5
    )
