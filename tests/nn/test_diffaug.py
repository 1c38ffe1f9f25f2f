"""Pins DiffAugment against numbers of the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dtgan import losses
from dtgan.models.stylegan2 import Discriminator
from dtgan.nn import diffaug
from tests import goldens, stylegan2

STORED = goldens.values("diffaug")
POLICY = ("color", "translation", "cutout")


@pytest.fixture(params=["float32", "float64"], name="dtype", scope="module")
def precision(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def images(dtype):
    x = np.clip(np.float32(0.5) * goldens.drawn("diffaug/x", (4, 3, 32, 32)), -1, 1)
    return jnp.asarray(x.transpose(0, 2, 3, 1), dtype)


def draws(dtype):
    colours = (jnp.asarray(STORED[f"draw.{k}"], dtype) for k in "bsc")
    moved = (jnp.stack([jnp.asarray(STORED[f"draw.{a}{k}"]) for k in "xy"]) for a in "to")
    return diffaug.Draws(*colours, *moved)


def check(y, name, dtype):
    tolerance = 1e-10 if dtype == "float64" else 2e-5
    goldens.assert_golden(y.transpose(0, 3, 1, 2), STORED, name, tolerance)


def test_parts_and_policies(dtype):
    x, drawn = images(dtype), draws(dtype)
    check(x, "input", dtype)
    still = drawn._replace(
        brightness=jnp.full(4, 0.5), saturation=jnp.full(4, 0.5), contrast=jnp.full(4, 0.5)
    )
    for name in ("brightness", "saturation", "contrast"):
        alone = still._replace(**{name: getattr(drawn, name)})
        check(diffaug.color(x, alone), f"fwd.{name}", dtype)
    check(diffaug.translation(x, drawn), "fwd.translation", dtype)
    y = diffaug.cutout(x, drawn)
    check(y, "fwd.cutout", dtype)
    np.testing.assert_array_equal(np.sum(np.all(y == 0, -1), (1, 2)), STORED["cutout.area"])
    for k in (1, 2, 3):
        check(diffaug.apply(x, drawn, POLICY[:k]), f"policy.{','.join(POLICY[:k])}", dtype)


def test_the_gradient_penalty_goes_through():
    with jax.enable_x64(True):
        critic, x = Discriminator(512, 32, dtype="float64"), images("float64")
        drawn = draws("float64")
        shapes = jax.eval_shape(critic.init, jax.random.key(0), x)["params"]
        d = stylegan2.filled(shapes, "sg2.D", 32, "float64")

        def penalty(d):
            def score(x):
                return critic.apply({"params": d}, diffaug.apply(x, drawn, POLICY))

            return 10 * losses.r1(score, x), score(x)

        (total, logits), gradients = jax.jit(jax.value_and_grad(penalty, has_aux=True))(d)
        goldens.assert_golden(logits, STORED, "r1.logits", 1e-10)
        assert abs(total - 5 * STORED["r1.penalty"].mean()) <= 1e-10 * total
        found = stylegan2.named(gradients, 32)["b8.conv0.weight"]
        goldens.assert_golden(found, STORED, "r1.grad.b8.conv0.weight", 1e-10)


def test_ranges_of_what_is_drawn():
    drawn = jax.jit(diffaug.draw)(jax.random.key(0), jnp.zeros((3000, 32, 16, 1)))
    for name in ("brightness", "saturation", "contrast"):
        u = np.asarray(getattr(drawn, name))
        assert 0 <= u.min() < 0.01 and 0.99 < u.max() < 1
    ends = [(x.min(), x.max()) for x in (*drawn.shift, *drawn.hole)]
    assert ends == [(-4, 4), (-2, 2), (0, 32), (0, 16)]
    x = jnp.ones((8, 32, 16, 1))
    y = jax.jit(diffaug.augment, static_argnums=2)(jax.random.key(1), x, POLICY)
    assert len({float(v) for v in jnp.mean(y, (1, 2, 3))}) == 8
