"""Pins what visible means: closed forms, planted defects, true transfers of procedural steel."""

import numpy as np
import pytest

from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.generation.checks import Visibility
from dtgan.metrics.contrast import contrast

SIDE = 48


def flat(channels=1, value=100):
    return np.full((1, SIDE, SIDE, channels), value, np.uint8)


def grainy(seed=0, deviation=10.0, lines=False):
    """Grain of one deviation, white or in lines along the rows: uint8 [1, R, R, 1]."""
    rng = np.random.default_rng(seed)
    noise = np.broadcast_to(rng.standard_normal((SIDE, 1 if lines else SIDE)), (SIDE, SIDE))
    return np.clip(np.round(120 + deviation * noise), 0, 255).astype(np.uint8)[None, ..., None]


def planted(clean, box, change):
    """Add a change of grey levels inside a box of rows and columns: (image, matte)."""
    matte = np.zeros((*clean.shape[:3], 1), np.uint8)
    matte[0, box[0], box[1]] = 255
    image = np.where(matte > 0, np.clip(clean.astype(float) + change, 0, 255), clean)
    return np.round(image).astype(np.uint8), matte


STROKE = slice(10, 40), slice(20, 21)  # one pixel wide
ALONG = slice(20, 21), slice(10, 40)
PIXEL = slice(7, 8), slice(9, 10)
SQUARE = slice(8, 24), slice(8, 24)
ALL = slice(None), slice(None)


@pytest.mark.parametrize("box", [STROKE, PIXEL, SQUARE, ALL])
@pytest.mark.parametrize("channels", [1, 3])
def test_without_grain_it_is_the_change_in_grey_levels(box, channels):
    image, matte = planted(flat(channels), box, 7)
    np.testing.assert_allclose(contrast(image, flat(channels), matte), 7.0, rtol=1e-5)


def test_nothing_has_no_contrast_and_the_matte_no_scale():
    clean = grainy()
    image, matte = planted(clean, SQUARE, 30)
    assert contrast(clean, clean, matte) == 0.0
    assert contrast(image, clean, np.zeros_like(matte)) == 0.0
    np.testing.assert_allclose(contrast(image, clean, matte / 510), contrast(image, clean, matte))


def test_a_colour_shows_that_keeps_the_brightness():
    image, matte = planted(flat(3), SQUARE, np.array([20.0, -20.0, 0.0]))
    assert contrast(image, flat(3), matte) > 10.0


def test_a_defect_is_averaged_over_its_area():
    """Half of the grain's deviation cannot be seen in a pixel, nor missed in a square."""
    clean = grainy()
    values = [contrast(*_with(planted(clean, box, 5), clean))[0] for box in (PIXEL, SQUARE)]
    assert values[0] < 1.0 < 2.0 < values[1]


def test_grain_in_lines_hides_a_stroke_along_and_not_across():
    clean = grainy(lines=True)
    along, across = (_with(planted(clean, box, 10), clean) for box in (ALONG, STROKE))
    assert contrast(*along) < 1.0 < 2.0 < contrast(*across)


def test_a_relief_shows_whose_mean_is_nothing():
    clean, sides = grainy(), np.where(np.arange(SIDE) < 16, 25.0, -25.0)
    image, matte = planted(clean, SQUARE, sides[:, None, None])
    assert contrast(image, clean, matte) > 2.0


def test_another_piece_of_the_surface_has_contrast_one():
    """One of ten pieces exceeds it: measured on pieces that are none of the moves."""
    values = []
    for seed in range(60):
        clean, other = grainy(seed), grainy(1000 + seed)
        matte = planted(clean, SQUARE, 0)[1]
        values.append(contrast(np.where(matte > 0, other, clean), clean, matte)[0])
    assert 0.02 < np.mean(np.array(values) > 1.0) < 0.25
    assert max(values) < 2.0


def _with(pair, clean):
    image, matte = pair
    return image, clean, matte


def test_the_calibrated_limit_keeps_true_transfers_and_refuses_faint_ones():
    """At least 95 of 100 true transfers are kept; of a fifth of their strength few."""
    number, labels = 20, range(1, len(CLASSES))
    source = ProceduralSteel("train", 32, counts=dict.fromkeys(CLASSES, number))
    normals, rng = np.flatnonzero(source.labels == 0), np.random.default_rng(0)
    rows = np.flatnonzero(source.labels)
    records = [source[i] for i in rows]
    own = contrast(
        np.stack([r["image"] for r in records]),
        np.stack([source.clean(i) for i in rows]),
        np.stack([r["mask"] for r in records]),
    )
    visibility = Visibility.calibrated(source.labels, labels, dict(zip(rows, own, strict=True)))
    surfaces = rng.choice(normals, len(rows))
    pairs = [source.transfer(i, j) for i, j in zip(rows, surfaces, strict=True)]
    image, mask = (np.stack(part) for part in zip(*pairs, strict=True))
    clean = np.stack([source[j]["image"] for j in surfaces])
    _, visible = visibility(image, clean, mask, source.labels[rows])
    assert np.mean(visible) >= 0.95
    faint = np.round(clean + 0.2 * (image.astype(float) - clean)).astype(np.uint8)
    _, visible = visibility(faint, clean, mask, source.labels[rows])
    assert np.mean(visible) < 0.3
