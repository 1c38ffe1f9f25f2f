"""Pins random crops: position, size, bilinear weights, independence."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from dtgan.nn.patches import bilinear_rows, random_crops


def weights(offset, side, out, size):
    shape = jnp.full((1, 1), float(offset)), jnp.full((1, 1), float(side))
    return np.asarray(bilinear_rows(*shape, out, size))[0, 0]


def test_identity_and_whole_pixels():
    rows = weights(3, 4, 4, 10)
    assert_allclose(rows, np.eye(10)[3:7], atol=1e-6)


def test_weights_sum_to_one_and_stay_in_the_crop():
    for side in (3, 8, 16):
        rows = weights(5, side, 8, 32)
        assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        assert rows[:, :5].max() == 0 and rows[:, 5 + side :].max(initial=0) == 0


def test_half_pixel_centres():
    """Two pixels to four: 0, 1/4, 3/4, 1 of the way, as bilinear resizing without corners does."""
    rows = weights(0, 2, 4, 2)
    assert_allclose(rows[:, 1], [0, 0.25, 0.75, 1], atol=1e-6)


def test_crops_of_a_ramp_show_position_and_side():
    size, out = 64, 16
    y, x = np.mgrid[:size, :size].astype(np.float32)
    image = jnp.asarray(np.stack([y, x], -1))[None]
    crops = np.asarray(random_crops(jax.random.key(0), image, 50, out, 12 / 64, 12 / 64))[0]
    first, last = crops[:, 0, 0], crops[:, -1, -1]  # samples are clipped to the crop's own pixels
    assert_allclose(last - first, 11, atol=1e-3)
    assert_allclose(first, np.round(first), atol=1e-3)
    assert crops.min() >= 0 and crops.max() <= size - 1
    assert len(np.unique(np.round(first, 3), axis=0)) > 40
    assert_allclose(np.corrcoef(first.T)[0, 1], 0, atol=0.4)


def test_sides_cover_their_range_one_for_each_crop():
    size = 64
    y, x = np.mgrid[:size, :size].astype(np.float32)
    images = jnp.asarray(np.stack([np.stack([y, x], -1)] * 2))
    crops = np.asarray(random_crops(jax.random.key(0), images, 200, 16, 1 / 8, 1 / 4))
    sides = np.round(crops[:, :, -1, 0, 0] - crops[:, :, 0, 0, 0]).astype(int) + 1
    assert set(sides[0]) == set(range(8, 16))
    np.testing.assert_array_equal(sides[0], sides[1])  # the same for all images
    assert not np.array_equal(crops[0, :, 0, 0], crops[1, :, 0, 0])  # at offsets of their own
