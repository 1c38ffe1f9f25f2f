"""Pins losses against numbers of the authors' code, where no network is needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan import losses
from tests import goldens

SHAPES = [(4, 6, 4, 4), (4, 6, 8, 8), (4, 5, 8, 8), (4, 3, 16, 16)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
def test_cross_domain_correspondence(dtype, tolerance):
    stored = goldens.values("cdc")
    with jax.enable_x64(dtype == "float64"):
        source, adapted, layers = [], [], jnp.asarray(stored["layers"])
        for i, shape in enumerate(SHAPES):
            x = goldens.drawn(f"cdc/src{i}", shape) + np.float32(0.5)
            y = x.astype(float) + np.float32(0.4) * goldens.drawn(f"cdc/tgt{i}", shape)
            source.append(jnp.asarray(x, dtype))
            adapted.append(jnp.asarray(y, dtype))
        cosines = {
            name: losses.relations(features, layers)
            for name, features in (("source", source), ("target", adapted))
        }
        for name, values in cosines.items():
            goldens.assert_golden(values, stored, f"cos_{name}", tolerance)
            goldens.assert_golden(jax.nn.softmax(values), stored, f"p_{name}", tolerance)

        def loss(adapted):
            found = losses.relations(adapted, layers)
            return 1000 * losses.correspondence(cosines["source"], found)

        total, gradients = jax.value_and_grad(loss)(adapted)
        small = 2e-3 if dtype == "float32" else 1e-10  # a small difference of large numbers
        assert_allclose(total, stored["loss_1000"], rtol=small)
        assert_allclose(total / 1000, stored["kl_elementmean"], rtol=small)
        assert_allclose(total / 1000 * 3, stored["kl_batchmean"], rtol=small)
        assert not np.any(gradients[0]) and stored["grad0"] == 0  # no anchor is compared there
        for i in (1, 2, 3):
            goldens.assert_golden(gradients[i], stored, f"grad{i}", small)


def test_mode_seeking():
    """Styles 0.1 apart and masks 0.2 apart: 0.5; finite for equal masks."""
    w, m = jnp.zeros((2, 7, 4)), jnp.zeros((2, 8, 8, 1))
    assert_allclose(losses.mode_seeking(w, w + 0.1, m, m + 0.2), 0.5, rtol=1e-4)
    assert np.isfinite(losses.mode_seeking(w, w + 0.1, m, m))
    assert np.all(np.isfinite(jax.grad(lambda m: losses.mode_seeking(w, w + 0.1, m, -m))(m)))


def test_path_length_of_a_linear_image_is_known():
    """Image = A w: every length is |A^T y|, so that only the way to the mean is penalised."""
    a, ws = jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.ones((5, 1, 2))
    y = jnp.broadcast_to(jnp.ones((2,)), (5, 2))
    for mean, expected in ((5.0, 0.0), (0.0, (5 - 0.05) ** 2), (1.0, (5 - 1.04) ** 2)):
        penalty, new = losses.path_length(lambda ws: ws[:, 0] @ a.T, ws, y, mean)
        assert_allclose(penalty, expected, rtol=1e-5)
        assert_allclose(new, mean + 0.01 * (5 - mean), rtol=1e-6)
