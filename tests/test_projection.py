"""Pins the search for surfaces in a model of noise: the error that is stated, rows, bad input."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dtgan.config import ConfigError
from dtgan.generation import plan, sources
from dtgan.images import to_uint8
from dtgan.methods.base import Method, Styles
from dtgan.sampling import projection


def start(ema, n):
    return jnp.zeros((n, 2, 8))


def draw(ema, style):
    """Pictures of a tone and a slope down the rows, about the mean that `ema` holds."""
    ramp = jnp.linspace(-1.0, 1.0, 16)[None, :, None, None]
    tone, slope = style[:, :1, :1, None], style[:, 1:, 1:2, None]
    return jnp.broadcast_to(ema + tone + slope * ramp, (len(style), 16, 16, 1))


STYLES = Styles(start, draw)


def model(styles=STYLES):
    method = Method(reads=(), init=None, phases=(), infer=None, styles=styles)
    config = types.SimpleNamespace(method="linear")
    return types.SimpleNamespace(method=method, config=config, ema=jnp.float32(0.1))


def surfaces_of(*styles):
    style = np.zeros((len(styles), 2, 8), np.float32)
    style[:, 0, 0], style[:, 1, 1] = zip(*styles, strict=True)
    return to_uint8(draw(0.1, jnp.asarray(style))), style


def test_what_the_model_can_draw_is_found():
    surfaces, style = surfaces_of((0.3, -0.2), (-0.4, 0.1), (0.0, 0.5))
    found = projection.project(model(), surfaces, steps=300)
    assert_allclose(found.style, style, atol=0.01)
    assert found.image.shape == surfaces.shape and found.image.dtype == np.uint8
    difference = np.abs(found.image.astype(int) - surfaces)
    assert_allclose(found.error, difference.mean((1, 2, 3)))
    assert found.error.max() < 1.0
    alone = projection.project(model(), surfaces[2:], steps=300)
    assert_allclose(alone.style[0], found.style[2], atol=1e-5)


def test_what_it_cannot_draw_has_an_error():
    surfaces, _ = surfaces_of((0.0, 0.0), (0.0, 0.0))
    surfaces[1, :, ::2] = 255
    error = projection.project(model(), surfaces, steps=100).error
    assert error[0] < 1 < 30 < error[1]


def test_more_surfaces_than_are_searched_for_at_a_time():
    surfaces, style = surfaces_of(*[(0.05 * k, 0.0) for k in range(projection.PART + 1)])
    found = projection.project(model(), surfaces, steps=200)
    assert len(found.error) == projection.PART + 1
    assert_allclose(found.style, style, atol=0.02)


def test_bad_input_is_one_line():
    surfaces, _ = surfaces_of((0.0, 0.0))
    with pytest.raises(ConfigError, match="method=linear has no styles to search surfaces in"):
        projection.project(model(None), surfaces)
    for steps in (0, 10**6):
        with pytest.raises(
            ConfigError, match=rf"projection of {steps} steps is not within 1..5000"
        ):
            projection.project(model(), surfaces, steps)


def test_surfaces_are_searched_for_where_the_user_gives_some():
    own, given = plan.Settings(1), plan.Settings(1, backgrounds="somewhere")
    noise = model().method._replace(gives=("image", "mask", "clean"))
    assert sources.kinds_of(noise, own) == () and sources.kinds_of(noise, given) == ("normal",)
    assert sources.kinds_of(model().method, given) == ()  # it draws no twin to compare with
    carried = Method((), None, (), None, needs=("defect", "surface"), gives=("image", "clean"))
    assert_array_equal(sources.kinds_of(carried, given), ("defect", "normal"))
