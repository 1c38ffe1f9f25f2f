"""Pins StackGAN++'s pairs, its step over devices, and what it is asked and refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan import cli
from dtgan.config import ConfigError, validate
from dtgan.data import labels
from dtgan.data.procedural import CLASSES
from dtgan.exporting import files, networks
from dtgan.methods.stackgan import STATISTICS, Drawn, StackGAN, make
from dtgan.sampling import requests, sampler
from tests.methods.families import (
    assert_same_step,
    batch_of,
    on_eight_devices,
    refusal,
    run_of,
    start,
    tiny,
)


def small(**fields):
    """Two scales, 16 and 32 px."""
    return tiny("stackgan", model__first=16, model__z=4, model__code=3, **fields)


@pytest.fixture(scope="module")
def conditional():
    config = small(model__conditional=True)
    return config, *start(config)


def test_a_wrong_pair_counts_as_real_where_labels_are_not_asked_for():
    """By hand: every logit of a real picture is a, of a drawn one b; right and wrong labels add
    their own. There are two scales."""
    m = StackGAN(small(model__conditional=True), CLASSES)
    a, b, right, wrong = 1.5, -0.5, 0.25, -2.0

    m.judge = lambda params, side, x, codes: (x, [x + code for code in codes])
    params, one = {}, jnp.ones(3)
    codes = right * one, wrong * one
    total, terms = m.d_loss(params, [a * one] * 2, [b * one] * 2, codes)
    real, fake = (lambda x: np.log1p(np.exp(-x))), (lambda x: np.log1p(np.exp(x)))
    assert_allclose(terms["adv_d"], 2 * (2 * real(a) + fake(b)), rtol=1e-5)
    fits = real(a + right) + fake(a + wrong) + fake(b + right)
    assert_allclose(terms["cond_d"], 2 * fits, rtol=1e-5)
    assert_allclose(total, terms["adv_d"] + terms["cond_d"], rtol=1e-6)
    ones = jnp.ones((3, 1, 1, 1))
    drawn = Drawn([b * ones] * 2, right * ones, 0.0 * ones)
    _, terms = m.g_loss(drawn, params)
    assert_allclose(terms["adv_g"], 2 * real(b), rtol=1e-5)
    assert_allclose(terms["cond_g"], 2 * real(b + right), rtol=1e-5)
    assert_allclose(terms["colour_mean"], 0)
    m.conditional = False
    _, terms = m.d_loss(params, [a * one] * 2, [b * one] * 2, ())
    assert set(terms) == {"adv_d"}
    assert_allclose(terms["adv_d"], 2 * (real(a) + fake(b)), rtol=1e-5)


def test_wrong_labels_are_of_the_other_defects_alike():
    m = StackGAN(small(model__conditional=True), CLASSES)
    label = jnp.full(600, 2)
    table = labels.targets(CLASSES).astype(np.float32)
    drawn = np.argmax(np.asarray(m.wrong(jax.random.key(0), label)) @ table.T, axis=1)
    counts = np.bincount(drawn, minlength=len(CLASSES))
    assert counts[0] == counts[2] == 0 and np.all(counts[[1, 3, 4, 5, 6]] > 80)


def test_one_and_eight_devices_take_the_same_step(conditional):
    """Batch normalisation is by the statistics of the whole batch."""
    config, method, state = conditional
    batch, run = batch_of(config, method.reads, seed=3), run_of(method, "step")
    one, losses = jax.jit(run)(state, batch)
    eight, found, text = on_eight_devices(run, state, batch)
    assert_same_step((one, losses), (eight, found), ("G", "D"), atol=1e-6)
    assert "all-to-all" not in text and "collective-permute" not in text
    kept, start_of = one.ema["G"][STATISTICS], state.ema["G"][STATISTICS]
    spread = eight.ema["G"][STATISTICS]
    for a, b, c in zip(*map(jax.tree.leaves, (kept, spread, start_of)), strict=True):
        assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(a, c)  # the first step's are the first that there are


def test_means_follow_at_one_pace(conditional):
    config, method, state = conditional
    batch = batch_of(config, method.reads, seed=3)
    later = state._replace(step=jnp.int32(5))
    new, _ = jax.jit(run_of(method, "step"))(later, batch)
    parameters = state.nets["G"].params, new.ema["G"]["params"], new.nets["G"].params
    for before, after, now in zip(*map(jax.tree.leaves, parameters), strict=True):
        assert_allclose(after, 0.999 * before + 0.001 * now, atol=1e-6)
    means = [s.ema["G"][STATISTICS]["fc_norm"]["mean"] for s in (state, new)]
    of_batch = jax.jit(run_of(method, "step"))(state, batch)[0].ema["G"][STATISTICS]["fc_norm"]
    assert_array_equal(means[0], 0.0)
    assert 0 < np.abs(means[1]).max() < 0.1 * np.abs(of_batch["mean"]).max()


def test_the_conditional_one_is_asked_for_classes_and_exported(conditional, tmp_path):
    pytest.importorskip("onnxruntime")
    config, method, state = conditional
    assert method.needs == ("labels",) and method.reads == ("image", "label")
    requests.check_classes(method, "stackgan", CLASSES[1:])
    drawer = sampler.Sampler(config, CLASSES, 0, state.ema, method)
    request = {"labels": requests.one_hot(CLASSES, [1, 2, 2])}
    images = drawer(request, 0, [5, 5, 6])["image"]
    assert images.shape == (3, 32, 32, 1)
    assert np.abs(images[0] - images[1]).max() > 1e-4  # another class, the same noise
    assert np.abs(images[1] - images[2]).max() > 1e-4
    alone = drawer({"labels": request["labels"][2:]}, 0, [6])["image"]
    assert_allclose(alone[0], images[2], atol=1e-5)
    network = networks.generator(drawer)
    assert set(network.inputs) == {"labels", "noise_z", "noise_c"}
    assert files.write(network, tmp_path, "onnx")["difference"] <= 1e-5


def test_recipes():
    plain, cond = (cli.read_config(f"configs/stackgan.py{arg}") for arg in ("", ":cond,res=128"))
    for config in (plain, cond):
        validate(config)
    assert plain.data.merged and not plain.model.conditional and plain.data.batch_size == 24
    assert not cond.data.merged and cond.loss.colour_cov == 0
    assert make(plain, ("normal", "defect")).needs == ()
    assert StackGAN(cond, CLASSES).scales == [64, 128]
    validate(cli.read_config("configs/stackgan.py:quick,cond,smoke"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.z", 0, "model.z=0 is below 1"),
        ("model.first", 48, "model.first=48 is not one of 8, 16, 32, 64"),
        ("optim.b1", 1.0, "optim.b1=1.0 is not below 1"),
        ("data.batch_size", 1, "batch normalisation tells nothing of one image; use 2 or more"),
    ],
)
def test_bad_values_get_one_line(field, value, message):
    assert re.search(message, refusal("stackgan", field, value))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="no wrong labels with one class, 'crack'"):
        make(small(model__conditional=True), ("normal", "crack"))
    config = small(data__res=256)
    with pytest.raises(ConfigError, match=r"model.ch=2 leaves no channels at 256 px.*use 16 or"):
        validate(config)
    with pytest.raises(ConfigError, match="cannot be told which of 6 classes to draw"):
        requests.check_classes(make(small(), CLASSES), "stackgan", CLASSES[1:])
