"""Pins which surface a defect is drawn on, and the masks that say where on it."""

import numpy as np
import pytest

from dtgan import images
from dtgan.config import ConfigError, base_config
from dtgan.data import crops
from dtgan.data.folders import loose
from dtgan.generation.surfaces import Likeness, Limits, check_limits
from dtgan.methods.base import Method


def features(*values):
    column = np.array(values, float)[:, None]
    return [np.repeat(column, 4, axis=1), column, column]


def test_a_likeness_prefers_what_is_alike_the_more_the_colder():
    surfaces = features(0.0, 1.0, 2.0, 3.0)
    chances = Likeness(features(0.0, 3.0), surfaces, 0.2).chances
    assert list(np.argsort(-chances(0))) == [0, 1, 2, 3]
    assert list(np.argsort(-chances(1))) == [3, 2, 1, 0]
    np.testing.assert_allclose(chances(0).sum(), 1.0)
    # In standard deviations (sqrt(5) / 2) a step is 0.8 squared: the formula's own numbers.
    np.testing.assert_allclose(chances(0)[1] / chances(0)[0], np.exp(-0.8 / 0.2), rtol=1e-4)
    hot = Likeness(features(0.0), surfaces, 1e6).chances(0)
    np.testing.assert_allclose(hot, 0.25, rtol=1e-4)


def test_a_draw_follows_its_chances_and_its_seed():
    likeness = Likeness(features(0.0), features(0.0, 1.0, 2.0), 2.0)
    drawn = [likeness.draw(0, np.random.default_rng(seed)) for seed in range(2000)]
    shares = np.bincount(drawn, minlength=3) / 2000
    np.testing.assert_allclose(shares, likeness.chances(0), atol=0.03)
    assert drawn[:50] == [likeness.draw(0, np.random.default_rng(seed)) for seed in range(50)]


@pytest.fixture
def opened(tmp_path):
    """(folder of masks, a source of the surfaces a and b, config)."""
    config = base_config()
    config.data.res, config.data.source = 32, "folder"
    rng = np.random.default_rng(0)
    for name in "ab":
        image = rng.integers(0, 256, (32, 40, 1), np.uint8)
        images.write_image(tmp_path / f"surfaces/{name}.png", image)
        mask = np.zeros((32, 40, 1), np.uint8)
        mask[:, : 20 if name == "a" else 40] = 255
        images.write_image(tmp_path / f"limits/{name}.png", mask)
    source = loose.open_surfaces(tmp_path / "surfaces", ("normal", "dent"), config.data)
    return tmp_path / "limits", crops.FixedWindows(source, config), config


WITH = Method((), None, (), None, controls=("limit",))


def test_limits_are_cropped_like_their_surfaces(opened):
    folder, source, config = opened
    limits = Limits(folder, source, config)
    both = limits.of_crops([0, 1, 0])
    assert both.shape == (3, 32, 32, 1) and both.dtype == np.uint8
    assert np.all(both[0, :, :16] == 255) and not both[0, :, 16:].any()  # 4 of 40 columns cut off
    assert np.all(both[1] == 255) and np.all(both[2] == both[0])
    before = limits.fingerprint
    mask = np.zeros((32, 40, 1), np.uint8)
    mask[:, 8:] = 255
    images.write_image(folder / "b.png", mask)
    assert Limits(folder, source, config).fingerprint != before


def test_a_window_of_a_limit_is_forbidden_where_a_pixel_of_it_is_in_half(opened):
    folder, source, config = opened
    limits = Limits(folder, source, config)
    part = limits.crop(0, (4, 12), 16, (8, 8))  # of columns 12 to 27, allowed are those below 20
    assert np.all(part[:, :4] == 255) and not part[:, 4:].any()


def test_each_crop_of_a_surface_has_its_part_of_the_limits(opened):
    folder, _, config = opened
    config.data.scale = 2.0
    source = loose.open_surfaces(folder.parent / "surfaces", ("normal", "dent"), config.data)
    fixed = crops.FixedWindows(source, config)
    limits = Limits(folder, fixed, config)
    left = [fixed.window(j)[1][1] < 8 for j in range(8)]  # of which column 40 of 80 is no part
    assert len(fixed) == 8 and left == [True, False] * 4
    assert [bool(limits.of_crops([j]).all()) for j in range(8)] == [*left[:4], *[True] * 4]


def spoil(folder, name):
    if name == "missing":
        (folder / "b.png").unlink()
    elif name == "size":
        images.write_image(folder / "a.png", np.zeros((32, 32, 1), np.uint8))
    elif name == "nothing":
        images.write_image(folder / "a.png", np.zeros((32, 40, 1), np.uint8))
    elif name == "broken":
        (folder / "a.png").write_text("text")
    else:
        for path in folder.iterdir():
            path.unlink()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", r"has no mask b.png for the surface b.png.*; add it, white where"),
        ("size", "a.png is 32x32, its surface 32x40; save it in that size"),
        ("nothing", "a.png allows no pixel; mark in white where a defect may be"),
        ("broken", "a.png is unreadable"),
        ("empty", "holds no masks; put one there for each surface"),
    ],
)
def test_unfit_limits_are_one_line(opened, name, message):
    folder, source, config = opened
    spoil(folder, name)
    with pytest.raises(ConfigError, match=message):
        Limits(folder, source, config)


def test_a_method_without_the_control_refuses_limits():
    check_limits("--limits=DIR", WITH, "layered")
    with pytest.raises(ConfigError, match="has no control 'limit' or 'where'; leave"):
        check_limits("--limits=DIR", WITH._replace(controls=()), "layered")
