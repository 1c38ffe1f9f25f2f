"""Pins the pieces of update rules: lazy Adam, falling rates, joined batches, rows over devices."""

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import sharding
from dtgan.config import base_config, flatten
from dtgan.methods.registry import METHODS
from dtgan.methods.updates import adam, join, like_rows, part, rate
from tests.methods.families import JUDGED


def test_lazy_adam_constants():
    """lr 0.002 -> 0.00188235 and b2 0.99 -> 0.9905855 for R1 every 16 steps."""
    tx = adam(0.002, 0.0, 0.99, 16)
    params = jnp.ones(3)
    updates, opt_state = tx.update(jnp.full(3, 2.0), tx.init(params), params)
    np.testing.assert_allclose(updates, -0.00188235, rtol=1e-5)
    np.testing.assert_allclose(opt_state[0].nu, (1 - 0.9905855) * 4, rtol=1e-4)
    np.testing.assert_allclose(base_config(JUDGED[0]).optim.ema, 0.9977844, rtol=1e-7)


def test_join_keeps_samples_together_and_part_undoes_it():
    a, b = jnp.arange(6.0).reshape(3, 2), -jnp.arange(6.0).reshape(3, 2)
    joined = join(a, b)
    np.testing.assert_array_equal(joined[:2], [[0, 1], [0, -1]])
    for x, y in zip(part(joined, 2), (a, b), strict=True):
        np.testing.assert_array_equal(x, y)


FALLING = [name for name in METHODS if "optim.decay_from" in flatten(base_config(name))]


def test_the_learning_rate_falls_in_a_straight_line_after_its_share_of_the_run():
    config = base_config(FALLING[0])
    config.optim.lr, config.optim.lr_end, config.train.duration = 4e-4, 1e-4, "1000steps"
    for step, expected in ((0, 4e-4), (500, 4e-4), (750, 2.5e-4), (1000, 1e-4), (1001, 1e-4)):
        np.testing.assert_allclose(rate(config, jnp.int32(step)), expected, rtol=1e-5)
    config.optim.decay_from, config.train.duration = 1.0, "3epochs"
    assert rate(config, jnp.int32(10)) == 4e-4


def test_random_numbers_lie_where_the_rows_of_a_batch_do():
    """What is computed of noise alone is shared by the devices, not done by each of them."""
    mesh = sharding.make_mesh()
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)
    shape = jax.ShapeDtypeStruct((16, 8, 8, 1), np.float32)

    def cost(place):
        def f(weights, batch):
            z = place(jax.random.normal(jax.random.key(0), (len(batch), 64)), batch)
            return jnp.sum(jnp.tanh(z @ weights) @ weights)

        jitted = jax.jit(f, in_shardings=(whole, rows), out_shardings=whole)
        weights = jax.ShapeDtypeStruct((64, 64), np.float32)
        return jitted.lower(weights, shape).compile().cost_analysis()["flops"]

    assert cost(like_rows) < 0.3 * cost(lambda z, batch: z)
