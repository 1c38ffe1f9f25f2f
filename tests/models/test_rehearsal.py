"""Pins the drawn layers: ranges, variety, the same layer for the same key."""

import jax
import numpy as np

from dtgan.models.rehearsal import draw_layer


def drawn(n=64, res=64, channels=1, seed=0, vertical=False):
    draw = jax.jit(draw_layer, static_argnums=(1, 2, 3, 4))
    return [np.asarray(x) for x in draw(jax.random.key(seed), n, res, channels, vertical)]


def test_ranges_and_shapes():
    tone, matte = drawn(8, 32, 3)
    assert tone.shape == (8, 32, 32, 3) and matte.shape == (8, 32, 32, 1)
    assert matte.min() >= 0 and matte.max() <= 1 and tone.min() >= 0 and tone.max() <= 1.05


def test_layers_are_small_varied_and_rarely_empty():
    tone, matte = drawn()
    area = (matte > 0.1).mean((1, 2, 3))
    assert 0.02 < np.median(area) < 0.3 and area.max() < 0.9
    assert (area > 0).mean() > 0.9
    shown = (tone * matte).sum((1, 2, 3)) / matte.sum((1, 2, 3)).clip(1e-3)
    assert (shown < 0.4).mean() > 0.2 and (shown > 0.6).mean() > 0.2  # dark ones and bright ones
    touches = (matte[:, [0, -1]] > 0.1).any((1, 2, 3)) | (matte[:, :, [0, -1]] > 0.1).any((1, 2, 3))
    assert 0.1 < touches.mean() < 0.9  # some bite a border, some do not
    assert np.abs(matte[0] - matte[1]).max() > 0.3


def test_a_key_is_a_layer():
    for a, b in zip(drawn(4), drawn(4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(drawn(4)[1] - drawn(4, seed=1)[1]).max() > 0.3


def test_strokes_follow_the_rolling_direction():
    for across, along in zip(drawn(4, vertical=True), drawn(4), strict=True):
        np.testing.assert_allclose(np.swapaxes(across, 1, 2), along, atol=1e-5)
