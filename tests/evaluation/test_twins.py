"""Pins what is said of a picture's mask and its twin."""

import numpy as np
import pytest

from dtgan.evaluation import tables, twins


def test_otsu_divides_two_heights():
    levels = np.repeat([3, 5, 90, 100], [50, 50, 10, 10])
    assert twins.otsu(levels) == 5
    assert twins.otsu(np.zeros(7, int)) == 0


def test_a_known_mask_and_change():
    """Of 16 rows 8 change by 60 levels, 4 of those in a mask of 8; the others change by 2."""
    clean = np.full((2, 16, 16, 1), 100, np.uint8)
    image, mask = clean.copy(), np.zeros((2, 16, 16, 1), np.float32)
    image[0] += 2
    image[0, :8], mask[0, 4:12] = 160, 1.0
    found = twins.compare({"image": image, "clean": clean, "mask": mask})
    assert found["threshold"] == 2
    assert found["masked"] == pytest.approx(0.25)
    assert found["inside_mae"] == pytest.approx((60 + 2) / 2)
    assert found["outside_mae"] == pytest.approx((4 * 60 + 4 * 2) * 16 / (8 * 16 + 256))
    assert found["mask_iou"] == pytest.approx(4 / 12)
    assert (found["empty"], found["empty_changed"]) == (1, 0)
    lines = tables._twins(found)
    assert "0.333" in lines[4] and "1 masks are empty, 0 of their" in lines[5]
    assert tables._twins(None) == []


def test_a_picture_that_departs_with_an_empty_mask_is_counted():
    clean = np.zeros((3, 4, 4, 3), np.uint8)
    image = clean.copy()
    image[1, 0, 0, 2] = 1
    found = twins.compare({"image": image, "clean": clean, "mask": np.zeros((3, 4, 4, 1))})
    assert (found["empty"], found["empty_changed"]) == (3, 1)
    assert found["mask_iou"] == 0 and found["inside_mae"] is None
