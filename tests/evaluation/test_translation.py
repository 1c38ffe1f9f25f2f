"""Pins what is said of a translation: what it changes, where, and what it removes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dtgan.evaluation import tables
from dtgan.evaluation.translation import _measure


def pairs():
    """Two pairs; a defect of 40 grey levels in a corner of 4 x 4 pixels."""
    clean = np.full((2, 16, 16, 1), 100, np.uint8)
    mask = np.zeros((2, 16, 16, 1), np.uint8)
    mask[:, :4, :4] = 255
    return {
        "image": np.where(mask > 0, np.uint8(140), clean),
        "normal": np.full((2, 16, 16, 1), 60, np.uint8),
        "mask": mask,
        "has_mask": np.ones(2, bool),
        "clean": clean,
        "truth": None,
    }


def ratios(drawn):
    rows = _measure(pairs(), drawn).items()
    return {name: (v[:, 0].sum() / v[:, 1].sum() if v[:, 1].any() else None) for name, v in rows}


def test_a_known_translation():
    """A quarter is painted by 20 levels, all else changed by 1; a quarter of the defect is left."""
    drawn = {"image": np.full((2, 16, 16, 1), 61, np.uint8), "mask": np.zeros((2, 16, 16, 1))}
    drawn["image"][:, 8:, 8:], drawn["mask"][:, 8:, 8:] = 80, 0.8
    drawn["removed"] = np.where(pairs()["mask"] > 0, np.uint8(110), pairs()["clean"])
    assert_allclose(
        [ratios(drawn)[name] for name in ("change_mae", "painted", "background_mae")],
        [(20 + 3) / 4, 0.25, 1.0],
    )
    assert ratios(drawn)["removal_skill"] == pytest.approx(0.75)


def test_what_is_not_drawn_is_not_measured():
    found = ratios({"image": pairs()["normal"]})
    assert found["change_mae"] == 0
    assert found["painted"] is found["background_mae"] is found["removal_skill"] is None


def test_the_table_shows_what_there_is():
    report = {"num_pairs": 2}
    for name in ("change_mae", "painted", "background_mae", "removal_skill"):
        report |= {name: None, f"{name}_ci95": None}
    report |= {"change_mae": 7.25, "change_mae_ci95": [7.0, 7.5]}
    lines = tables._translation(report)
    assert lines[0].split()[:3] == ["translation,", "2", "pairs"]
    assert "7.250" in lines[1] and "[7.000, 7.500]" in lines[1]
    assert tables._translation(None) == []
