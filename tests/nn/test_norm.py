"""Pins instance and batch normalisation, SPADE, the nearest resize: PyTorch's numbers, and Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.nn.norm import SPADE, BatchNorm, InstanceNorm, instance_norm, nearest
from tests import goldens

SIZES = {"up2": ((12, 10), (6, 5)), "odd": ((7, 9), (10, 4)), "down": ((4, 4), (16, 16))}
PLACES = {
    f"{ours}/{end}": f"{theirs}.{ending}"
    for ours, theirs in (("shared", "mlp_shared.0"), ("gamma", "mlp_gamma"), ("beta", "mlp_beta"))
    for end, ending in (("kernel", "weight"), ("bias", "bias"))
}


def nhwc(x):
    return jnp.asarray(np.moveaxis(x, 1, -1))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
def test_spade_equals_the_authors(dtype, tolerance):
    stored = goldens.values("spade")
    with jax.enable_x64(dtype == "float64"):
        module = SPADE(128, jnp.dtype(dtype))
        shapes = jnp.zeros((1, 8, 8, 5)), jnp.zeros((1, 8, 8, 3))
        params = jax.eval_shape(module.init, jax.random.key(0), *shapes)["params"]
        params = goldens.filled(params, PLACES, "spade", dtype)
        assert sum(x.size for x in jax.tree.leaves(params)) == stored["count"]

        @jax.jit
        def run(params, x, labels):
            return module.apply({"params": params}, x, labels)

        for name, (side, small) in SIZES.items():
            n = 2 if name != "down" else 1
            x = 2 * goldens.drawn(f"spade/x_{name}", (n, 5, *side)) + np.float32(0.7)
            labels = goldens.drawn(f"spade/seg_{name}", (n, 3, *small))
            x, labels = nhwc(x.astype(dtype)), nhwc(labels.astype(dtype))
            found = np.moveaxis(run(params, x, labels), -1, 1)
            goldens.assert_golden(found, stored, f"{name}.y", tolerance)
            if name == "up2":
                weights = nhwc(goldens.drawn("spade/r", (2, 5, 12, 10)).astype(dtype))
                _, gradients = jax.vjp(run, params, x, labels)
                of_params, of_x, _ = gradients(weights)
                goldens.assert_golden(np.moveaxis(of_x, -1, 1), stored, "up2.dx", tolerance)
                gamma = of_params["gamma"]["kernel"].transpose(3, 2, 0, 1)
                goldens.assert_golden(gamma, stored, "up2.dgamma", tolerance)
        x = 2 * goldens.drawn("spade/x_const", (2, 5, 8, 8)) + np.float32(0.7)
        labels = jnp.asarray([[1, 0, 1], [0, 1, 0]], dtype)[:, None, None]
        found = np.moveaxis(run(params, nhwc(x.astype(dtype)), labels), -1, 1)
        goldens.assert_golden(found, stored, "const.y", tolerance)


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("side", [3, 8])
def test_spade_of_labels_equals_that_of_their_map(side):
    """Values and gradients: only the border knows that the map ends."""
    module, x = SPADE(6), random(2, side, side, 4)
    labels = jnp.asarray([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])[:, None, None]
    params = module.init(jax.random.key(0), x, labels)

    def score(params, labels):
        return jnp.sum(jnp.sin(module.apply(params, x, labels)))

    both = jax.jit(lambda params, a: (module.apply(params, x, a), jax.grad(score)(params, a)))
    short, whole = (both(params, a) for a in (labels, jnp.tile(labels, (1, side, side, 1))))
    for a, b in zip(jax.tree.leaves(short), jax.tree.leaves(whole), strict=True):
        assert_allclose(a, b, atol=2e-5 * float(jnp.abs(b).max()))


def test_instance_norm_and_its_gradient():
    x, weights = 3 * random(2, 6, 5, 4) + 1, random(2, 6, 5, 4, seed=1)
    y = instance_norm(x)
    assert_allclose(jnp.mean(y, (1, 2)), 0.0, atol=1e-6)
    assert_allclose(jnp.var(y, (1, 2)), 1.0, atol=1e-4)

    def plain(x):
        mean, variance = (f(x, (1, 2), keepdims=True) for f in (jnp.mean, jnp.var))
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5)

    ours, theirs = (
        jax.grad(lambda x, f=f: jnp.sum(f(x) * weights))(x) for f in (instance_norm, plain)
    )
    assert_allclose(ours, theirs, atol=1e-5)
    params = {"params": {"scale": jnp.arange(4.0), "bias": jnp.ones(4)}}
    half = InstanceNorm().apply(params, x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    expected = np.asarray(plain(x)) * np.arange(4.0) + 1
    assert_allclose(half.astype(jnp.float32), expected, atol=0.1)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_is_flaxs_with_its_gradients(train):
    x, weights = 3 * random(3, 6, 5, 4) + 1, random(3, 6, 5, 4, seed=1)
    ours, theirs = BatchNorm(train), nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5)
    start = ours.init(jax.random.key(0), x)
    assert jax.tree.structure(start) == jax.tree.structure(theirs.init(jax.random.key(0), x))
    variables = jax.tree.map(lambda v: v + jnp.arange(4.0), start)

    def results(module):
        def score(params, x):
            y, new = module.apply(variables | {"params": params}, x, mutable=["batch_stats"])
            return jnp.sum(jnp.sin(y) * weights), new

        return jax.value_and_grad(score, (0, 1), has_aux=True)(variables["params"], x)

    for a, b in zip(jax.tree.leaves(results(ours)), jax.tree.leaves(results(theirs)), strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=2e-5 * float(jnp.abs(b).max()))
    half = ours.copy(dtype=jnp.bfloat16).apply(variables, x, mutable=["batch_stats"])[0]
    assert half.dtype == jnp.bfloat16
    _, now = ours.copy(momentum=0.0).apply(variables, x, mutable=["batch_stats"])
    if train:  # those of the batch alone
        assert_allclose(now["batch_stats"]["mean"], np.mean(np.asarray(x), (0, 1, 2)), rtol=1e-5)
        assert_allclose(now["batch_stats"]["var"], np.var(np.asarray(x), (0, 1, 2)), rtol=1e-5)


def test_nearest_takes_what_pytorch_takes():
    x = jnp.arange(10.0).reshape(1, 10, 1, 1)
    assert_array_equal(nearest(x, (7, 1))[0, :, 0, 0], [0, 1, 2, 4, 5, 7, 8])
    assert_array_equal(nearest(x, (5, 1))[0, :, 0, 0], [0, 2, 4, 6, 8])  # half-pixel centres: 1, 3
    assert_array_equal(nearest(x, (20, 2))[0, :, 1, 0], np.repeat(np.arange(10), 2))
