"""Pins CycleGAN's steps and pool of fakes, SDGAN's two critics, and what neither can be asked."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import cli
from dtgan.config import ConfigError, base_config, shrink, validate
from dtgan.data.procedural import CLASSES
from dtgan.methods.cyclegan import CycleGAN, exchange, make
from dtgan.sampling import requests
from dtgan.training.dry_run import dry_run
from dtgan.training.loop import train_and_evaluate
from tests.methods.families import (
    assert_same_step,
    batch_of,
    on_eight_devices,
    refusal,
    run_of,
    start,
    tiny,
)


def test_the_pool_keeps_and_shows_every_fake_once():
    """What was in it and came is in it or shown; while it fills, the newest are shown."""
    pool, filled = jnp.zeros((3, 2)), jnp.int32(0)
    fakes = jnp.arange(1.0, 41.0).reshape(10, 2, 2)
    kept = []
    for k, pair in enumerate(fakes):
        before = np.concatenate([np.asarray(pool), np.asarray(pair)])
        pool, shown = exchange(pool, filled, pair, jax.random.key(k))
        filled = jnp.minimum(filled + 2, 3)
        after = np.concatenate([np.asarray(pool), np.asarray(shown)])
        if k == 0:
            assert_array_equal(shown, pair)
            assert_array_equal(pool[:2], pair)
        elif k > 1:
            assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
            kept += [bool(np.array_equal(a, b)) for a, b in zip(shown, pair, strict=True)]
    assert 0 < sum(kept) < len(kept)


def test_one_and_eight_devices_give_the_same_gradients_and_pools():
    config = tiny("cyclegan", model__blocks=1, optim__lr=0.0, optim__pool=12)
    method, state = start(config)
    batch = batch_of(config, method.reads, seed=11)
    state = state._replace(extra=state.extra | {"filled": jnp.int32(8)})
    run = run_of(method, "step")
    one, losses = jax.jit(run)(state, batch)
    eight, found, _ = on_eight_devices(run, state, batch)
    weight = config.loss
    total = sum(weight[n] * float(losses[f"loss/{n}"]) for n in ("adv_g", "cyc", "idt"))
    assert_allclose(float(losses["loss/G"]), total, rtol=1e-5)
    assert_allclose(float(losses["loss/D"]), 0.5 * float(losses["loss/adv_d"]), rtol=1e-5)
    assert int(one.extra["filled"]) == 12
    for a, b in zip(jax.tree.leaves(one.extra), jax.tree.leaves(eight.extra), strict=True):
        assert_allclose(a, b, atol=1e-5)
    assert_same_step((one, losses), (eight, found), ("G", "D"))


def test_two_critics_reward_their_sides():
    """D2GAN's J of given scores, which the critics raise and G lowers."""
    config = cli.read_config("configs/cyclegan.py:sdgan,smoke")
    validate(config)
    m = CycleGAN(config, ("normal", "crack"))
    assert m.critics == ("real", "fake") and config.loss.idt == 0
    m.scores = lambda critics, image: (image, 3 * image)
    real, fake = jnp.full((2, 1), 2.0), jnp.full((2, 1), 0.5)
    j = 0.2 * np.log(2.0) - 0.5 - 6.0 + 0.2 * np.log(1.5)
    assert_allclose(m.adversarial_d(None, real, fake), -j, rtol=1e-5)
    assert_allclose(m.adversarial_g(None, fake), 0.2 * np.log(1.5) - 0.5, rtol=1e-5)


def test_a_class_cannot_be_asked_for_nor_a_place(tmp_path):
    method = make(base_config("cyclegan"), CLASSES)
    with pytest.raises(ConfigError, match="cannot be told which of 6 classes to draw"):
        requests.check_classes(method, "cyclegan", CLASSES[1:])
    requests.check_classes(method, "cyclegan", CLASSES[1:2])
    config = base_config("cyclegan")
    shrink(config)
    config.data.batch_size = 8
    for begin in (lambda: train_and_evaluate(config, tmp_path / "run"), lambda: dry_run(config)):
        with pytest.raises(ConfigError, match="use a run of one class"):
            begin()
    for name in ("labels", "where"):
        with pytest.raises(ConfigError, match=f"method=cyclegan has no control '{name}'"):
            requests.check(method, "cyclegan", dict.fromkeys(("surface", name)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.blocks", 0, "model.blocks=0 is below 1"),
        ("optim.b2", 1.0, "optim.b2=1.0 is not below 1"),
        ("train.duration", "200epochs", "write it in steps or kimg"),
    ],
)
def test_bad_values_get_one_line(field, value, message):
    assert re.search(message, refusal("cyclegan", field, value))
