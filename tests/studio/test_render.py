"""Pins the drawing: outside of the limit nothing changes, a defect comes where it is asked for."""

import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.studio.render import Wish
from dtgan.studio.stock import Defect, Surface
from tests.studio.conftest import CLASSES, make_renderer


@pytest.fixture(scope="module")
def strip():
    """A surface wider than the pictures that the model draws."""
    noise = np.random.default_rng(0).integers(120, 180, (32, 80, 1), np.uint8)
    return Surface("strip", noise)


def middle(drawn):
    return np.argwhere(drawn.pictures["hard"][..., 0]).mean(axis=0)


def defect(spot, known=True):
    picture, mask = spot
    return Defect("spot", picture[..., None], mask if known else None)


def test_nothing_changes_outside_of_the_limit(renderer, strip, spot):
    limit = np.zeros((32, 80, 1), np.uint8)
    limit[10:20, 60:64] = 255
    drawn = renderer.draw(strip, defect(spot), Wish(1, limit=limit))
    changed = np.any(drawn.pictures["image"] != strip.image, axis=-1)
    assert changed.any() and not changed[limit[..., 0] == 0].any()
    assert np.array_equal(changed, drawn.change[..., 0] > 0)
    assert np.array_equal(drawn.pictures["clean"], strip.image)
    np.testing.assert_allclose(middle(drawn), (14.5, 61.5), atol=2)


@pytest.mark.parametrize("known", [True, False])
def test_a_defect_stays_where_its_picture_shows_it(renderer, strip, spot, known):
    drawn = renderer.draw(strip, defect(spot, known), Wish(1))
    assert drawn.window == (0, 24) and drawn.variation.shift == (0.0, 0.0)
    np.testing.assert_allclose(middle(drawn), (10.5, 44.5))


@pytest.mark.parametrize(
    ("wish", "to"),
    [
        ({"move": (0.25, -0.5)}, (18.5, 28.5)),
        ({"scale": 1.5}, (10.5, 44.5)),
        ({"rotate": 90.0}, (10.5, 44.5)),
        ({"flip": (True, True), "scale": 0.5}, (20.5, 34.5)),
        ({"move": (3.0, 3.0)}, (31.0, 79.0)),  # half of it is cut: its middle stays inside
    ],
)
def test_it_is_moved_scaled_turned_and_mirrored_about_its_middle(renderer, strip, spot, wish, to):
    drawn = renderer.draw(strip, defect(spot), Wish(1, **wish))
    np.testing.assert_allclose(middle(drawn), to, atol=1.6)
    area = np.count_nonzero(drawn.pictures["hard"])
    size = wish.get("scale", 1.0)
    if "scale" in wish:
        assert 0.7 * 36 * size**2 < area < 2.2 * 36 * size**2


def test_strength_is_the_models(renderer, strip, spot):
    faint, full = (renderer.draw(strip, defect(spot), Wish(1, strength=s)) for s in (0.5, 1.0))
    assert faint.change.sum() < 0.6 * full.change.sum() and faint.contrast < full.contrast
    nothing = renderer.draw(strip, defect(spot), Wish(1, strength=0.0))
    assert nothing.empty and any("No defect shows" in note for note in nothing.notes)


def test_a_method_without_moves_is_shown_a_moved_picture(with_stamp, strip, spot):
    paste = make_renderer("paste")
    drawn = paste.draw(strip, defect(spot), Wish(1, move=(0.25, 0.0), scale=2.0))
    np.testing.assert_allclose(middle(drawn), (18.5, 44.5), atol=0.6)
    assert np.count_nonzero(drawn.pictures["hard"]) == pytest.approx(144, rel=0.3)
    with pytest.raises(ConfigError, match="spot: method=paste cuts defects out by their masks"):
        paste.draw(strip, defect(spot, known=False), Wish(1))


def test_what_is_missing_is_said(renderer, strip, spot):
    with pytest.raises(ConfigError, match="a surface first"):
        renderer.draw(None, defect(spot), Wish(1))
    with pytest.raises(ConfigError, match="a defect first"):
        renderer.draw(strip, None, Wish(1))


def test_a_method_that_takes_a_class_shows_no_other_controls(with_stamp):
    square = make_renderer("square")
    flags = square.controls
    assert flags.surface and not flags.defect and not flags.limit and not flags.strength
    told = flags.lacking("square")
    assert "which defect" in told and "where a defect may be" in told
    surface = Surface("grey", np.full((32, 32, 1), 100, np.uint8))
    bright = [square.draw(surface, None, Wish(k)).pictures["image"][10, 10, 0] for k in (1, 6)]
    assert bright[0] < bright[1] and len(CLASSES) == 7


def test_a_method_without_any_control_is_named(with_stamp):
    config_of = make_renderer("square")
    bare = type(config_of.controls)(*(False for _ in config_of.controls))
    assert bare.lacking("stackgan").startswith("method=stackgan has no controls")
