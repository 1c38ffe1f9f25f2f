"""Pins the variations: exact moves, masks that follow, what is lost, ranges and their mistakes."""

import numpy as np
import pytest

from dtgan.config import ConfigError, base_config
from dtgan.generation import vary
from dtgan.generation.vary import Variation, fit, lost, warp
from dtgan.methods.base import Method

SIDE = 32


def picture(seed=0, channels=1):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (SIDE, SIDE, channels), np.uint8)
    mask = np.zeros((SIDE, SIDE, 1), np.uint8)
    mask[10:14, 8:20] = 255
    return image, mask


def method(**fields):
    whole = {"needs": ("defect", "surface"), "controls": ("strength",), "several": True}
    return Method((), None, (), None, **(whole | fields))


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_drawn_changes_nothing(channels):
    image, mask = picture(channels=channels)
    same = warp(image, mask, Variation(strength=2.0))
    assert same[0] is image and same[1] is mask


def test_whole_pixels_are_moved_and_flipped_exactly():
    image, mask = picture()
    moved, where = warp(image, mask, Variation(shift=(4 / SIDE, -3 / SIDE)))
    np.testing.assert_array_equal(moved[4:, :-3], image[:-4, 3:])
    np.testing.assert_array_equal(where[4:, :-3], mask[:-4, 3:])
    assert not where[:4].any()  # the image is mirrored there, the mask is not
    flipped, where = warp(image, mask, Variation(flip=(True, False)))
    np.testing.assert_array_equal(where, mask[::-1])  # the whole picture: nothing is made up
    np.testing.assert_array_equal(flipped, image[::-1])


@pytest.mark.parametrize("rows", [(0, 6), (1, 8), (10, 14), (20, 32), (0, 32)])
@pytest.mark.parametrize("flip", [False, True])
def test_no_mirrored_copy_shows_and_a_bite_stays_at_its_border(rows, flip):
    """With the mask as the image, which is mirrored: all that is bright is of the mask itself."""
    mask = np.zeros((SIDE, SIDE, 1), np.uint8)
    mask[slice(*rows), 12:18] = 255
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = Variation(tuple(rng.uniform(-0.4, 0.4, 2)), tuple(rng.uniform(0.6, 1.6, 2)))
        fitted = fit(drawn._replace(flip=(flip, False)), mask)
        image, where = warp(mask, mask, fitted)
        assert not np.any((image > 191) & (where == 0))
        if lost(mask, fitted) == 0:
            seen = where[::-1] if flip else where
            touches = seen[0].any(), seen[-1].any()
            assert touches >= (rows[0] == 0, rows[1] == SIDE)
    assert fit(Variation(), mask) == Variation()
    free = Variation(shift=(0.0, 0.1), scale=(1.0, 0.9))
    assert fit(free, mask) == free


def test_an_unknown_mask_keeps_a_variation_as_it_is():
    drawn = Variation(shift=(0.3, -0.3), scale=(0.7, 0.7))
    assert fit(drawn, np.zeros((SIDE, SIDE, 1), np.uint8)) == drawn


def test_size_and_direction_are_those_of_the_mask():
    mask = picture()[1]
    for variation, height, width in (
        (Variation(scale=(2.0, 0.5)), 8, 6),
        (Variation(rotate=90.0), 12, 4),
        (Variation(rotate=180.0), 4, 12),
    ):
        rows, columns = np.nonzero(warp(mask, mask, variation)[1][..., 0])
        assert abs(np.ptp(rows) + 1 - height) <= 1 and abs(np.ptp(columns) + 1 - width) <= 1
        assert abs(rows.mean() - 11.5) < 1 and abs(columns.mean() - 13.5) < 1


def test_a_stroke_of_a_pixel_stays_whole():
    mask = np.zeros((SIDE, SIDE, 1), np.uint8)
    mask[16, 4:28] = 255
    for variation in (Variation(shift=(0.5 / SIDE, 0.0)), Variation(rotate=7.0)):
        found = warp(mask, mask, variation)[1][..., 0]
        columns = np.flatnonzero(found.any(0))
        assert np.all(np.diff(columns) == 1) and len(columns) >= 22


def test_an_outline_is_bent_and_the_image_with_it():
    mask = picture()[1]
    knots = 0.05 * np.random.default_rng(1).standard_normal((2, vary.KNOTS, vary.KNOTS))
    image, bent = warp(mask, mask, Variation(elastic=knots))
    assert np.any(bent != mask) and np.mean((image > 127) != (bent > 127)) < 0.03


def test_what_leaves_the_picture_is_known():
    mask = picture()[1]
    assert lost(mask, Variation()) == 0.0
    assert lost(mask, Variation(shift=(0.0, (SIDE - 14) / SIDE))) == 0.5  # 6 of 12 columns
    assert lost(mask, Variation(shift=(-1.0, 0.0))) == 1.0
    assert lost(np.zeros_like(mask), Variation(shift=(-1.0, 0.0))) == 0.0


def test_drawn_values_lie_in_their_ranges_and_follow_the_seed():
    data, strong = base_config().data, vary.PRESETS["strong"]
    data.flips = "along"  # the rolling direction is horizontal: left to right alone
    drawn = [vary.draw(strong, data, np.random.default_rng(seed)) for seed in range(200)]
    for field in ("shift", "scale", "rotate", "strength"):
        values = np.array([getattr(v, field) for v in drawn])
        low, high = getattr(strong, field)
        assert low <= values.min() < values.max() <= high
        assert np.ptp(values) > 0.8 * (high - low)
    assert {v.flip for v in drawn} == {(False, False), (False, True)}
    again = vary.draw(strong, data, np.random.default_rng(0)).described()
    assert again == drawn[0].described() != drawn[1].described()
    still = vary.draw(vary.PRESETS["none"], data, np.random.default_rng(0))
    assert still == Variation()


@pytest.mark.parametrize(
    ("name", "asked", "fields", "message"),
    [
        ("wild", {}, {}, "--vary=wild is not one of none, mild, strong"),
        ("", {"scale": "1.2,0.8"}, {}, "--vary_scale=1.2,0.8 is upside down"),
        ("", {"scale": "0.8"}, {}, "--vary_scale=0.8 is not LOW,HIGH"),
        ("", {"scale": "0,2"}, {}, r"--vary_scale=0,2 is not within 0.1..10"),
        ("", {"rotate": "nan,nan"}, {}, "--vary_rotate=nan,nan is upside down"),
        ("", {"two": 1.5}, {}, "--vary_two=1.5 is no share"),
        ("", {"two": 0.5}, {"several": False}, "draws one defect an image; leave it out"),
        ("", {"strength": "1,2"}, {"controls": ()}, "has no control of strength; leave it out"),
        ("mild", {}, {"needs": ("surface",)}, "draws from no defect images"),
        ("", {"shift": "0,1"}, {"needs": ("surface",)}, "draws from no defect images"),
    ],
)
def test_impossible_ranges_are_refused(name, asked, fields, message):
    with pytest.raises(ConfigError, match=message):
        vary.ranges(name, asked, method(**fields), "x")


def test_a_preset_is_what_the_method_can_vary():
    assert vary.ranges("", {}, method(), "x") == vary.PRESETS["mild"]
    limited = vary.ranges("strong", {"two": None}, method(several=False, controls=()), "x")
    assert limited == vary.PRESETS["strong"]._replace(two=0.0, strength=(1.0, 1.0))
    assert vary.ranges("", {}, method(needs=("surface",)), "x") == vary.PRESETS["none"]
    own = vary.ranges("none", {"scale": "0.5,2"}, method(), "x")
    assert own == vary.PRESETS["none"]._replace(scale=(0.5, 2.0))
