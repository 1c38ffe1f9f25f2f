"""Pins random crops: position, size, bilinear weights, independence."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from dtgan.nn.patches import bilinear_rows, draw_side, random_crops


def test_identity_and_whole_pixels():
    rows = bilinear_rows(jnp.array([3.0]), jnp.float32(4), 4, 10)
    assert_allclose(rows[0], np.eye(10)[3:7], atol=1e-6)


def test_weights_sum_to_one_and_stay_in_the_crop():
    for side in (3, 8, 16):
        rows = np.asarray(bilinear_rows(jnp.array([5.0]), jnp.float32(side), 8, 32)[0])
        assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        assert rows[:, :5].max() == 0 and rows[:, 5 + side :].max(initial=0) == 0


def test_half_pixel_centres():
    """Two pixels to four: 0, 1/4, 3/4, 1 of the way, as bilinear resizing without corners does."""
    rows = bilinear_rows(jnp.array([0.0]), jnp.float32(2), 4, 2)[0]
    assert_allclose(rows[:, 1], [0, 0.25, 0.75, 1], atol=1e-6)


def test_crops_of_a_ramp_show_position_and_side():
    size, out = 64, 16
    y, x = np.mgrid[:size, :size].astype(np.float32)
    image = jnp.asarray(np.stack([y, x], -1))[None]
    crops = np.asarray(random_crops(jax.random.key(0), image, 50, jnp.int32(12), out))[0]
    first, last = crops[:, 0, 0], crops[:, -1, -1]  # samples are clipped to the crop's own pixels
    assert_allclose(last - first, 11, atol=1e-3)
    assert_allclose(first, np.round(first), atol=1e-3)
    assert crops.min() >= 0 and crops.max() <= size - 1
    assert len(np.unique(np.round(first, 3), axis=0)) > 40
    assert_allclose(np.corrcoef(first.T)[0, 1], 0, atol=0.4)


def test_sides_cover_their_range():
    sides = {int(draw_side(jax.random.key(i), 64, 1 / 8, 1 / 4)) for i in range(200)}
    assert sides == set(range(8, 16))
