"""Pins instance normalisation, SPADE and the nearest resize against numbers of PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.nn.norm import SPADE, STATISTICS, BatchNorm, InstanceNorm, instance_norm, nearest
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


def test_batch_norm_and_what_it_keeps():
    module, x = BatchNorm(), 3 * random(4, 6, 5, 2) + 1
    start = module.init(jax.random.key(0), x)
    assert_array_equal(start[STATISTICS]["variance"], 1.0)
    params = {"params": {"scale": jnp.array([2.0, -1.0]), "bias": jnp.array([0.0, 3.0])}}
    y, kept = module.apply(params | {STATISTICS: start[STATISTICS]}, x, mutable=[STATISTICS])
    mean, variance = (f(np.asarray(x), (0, 1, 2)) for f in (np.mean, np.var))
    assert_allclose(kept[STATISTICS]["mean"], mean, rtol=1e-5)
    assert_allclose(kept[STATISTICS]["variance"], variance, rtol=1e-5)
    expected = (np.asarray(x) - mean) / np.sqrt(variance + 1e-5) * [2, -1] + [0, 3]
    assert_allclose(y, expected, atol=1e-5)
    assert_allclose(module.apply(params, x), expected, atol=1e-5)  # nothing to write to
    alone = module.apply(params | kept, x[:1], running=True)  # by what was kept
    assert_allclose(alone, expected[:1], atol=1e-5)


def test_nearest_takes_what_pytorch_takes():
    x = jnp.arange(10.0).reshape(1, 10, 1, 1)
    assert_array_equal(nearest(x, (7, 1))[0, :, 0, 0], [0, 1, 2, 4, 5, 7, 8])
    assert_array_equal(nearest(x, (5, 1))[0, :, 0, 0], [0, 2, 4, 6, 8])  # half-pixel centres: 1, 3
    assert_array_equal(nearest(x, (20, 2))[0, :, 1, 0], np.repeat(np.arange(10), 2))
