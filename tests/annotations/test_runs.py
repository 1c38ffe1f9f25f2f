"""Pins runs of rows: what they say of a mask, pieces, cuts, and whose pixels are whose."""

import logging

import numpy as np
import pytest
from scipy import ndimage

from dtgan import images
from dtgan.annotations import instances, runs

ALL = np.ones((3, 3))  # neighbours of a pixel, at corners, too


def painted(part, shape):
    """A Part's pixels in a picture: bool [H, W]."""
    picture = np.zeros(shape, bool)
    if len(part.rows):
        x, y, width, height = part.box
        picture[y : y + height, x : x + width] = part.pixels()
    return picture


@pytest.fixture(params=[0.05, 0.3, 0.6, 1.0])
def mask(request):
    """Noise, higher than a strip, which is mostly one piece where it is dense."""
    return np.random.default_rng(0).random((runs.STRIP + 30, 40)) < request.param


def test_a_part_is_the_mask(mask):
    part = runs.find(mask)
    assert part.area == mask.sum() and runs.find(part) is part
    np.testing.assert_array_equal(painted(part, mask.shape), mask)
    for value in (1, 128, 255):
        found = runs.find(mask * np.uint8(value))
        assert all(map(np.array_equal, found, part))


def test_columns_are_the_rows_of_the_turned_mask(mask):
    for picture in (mask, mask.T):  # of more than one strip down, and across
        turned = runs.columns(runs.find(picture))
        assert all(map(np.array_equal, turned, runs.find(picture.T)))


def test_the_pieces_are_those_of_scipy(mask):
    marked, number = ndimage.label(mask, ALL)
    pieces = runs.pieces(runs.find(mask))
    assert len(pieces) == number
    for k, piece in enumerate(pieces, start=1):
        np.testing.assert_array_equal(painted(piece, mask.shape), marked == k)
    whole = runs.join(pieces[::-1])
    assert all(map(np.array_equal, whole, runs.find(mask)))


def test_an_empty_mask_has_no_piece():
    assert runs.pieces(runs.find(np.zeros((5, 7)))) == []


@pytest.mark.parametrize(
    "box", [(3, 4, 10, 200), (0, 0, 40, 500), (39, 0, 1, 1), (-5, 280, 99, 99)]
)
def test_a_cut_shares_all_pixels(mask, box):
    x, y, width, height = box
    window = np.zeros_like(mask)
    window[y : y + height, max(x, 0) : x + width] = True
    inside, outside = runs.find(mask).cut(box)
    np.testing.assert_array_equal(painted(inside, mask.shape), mask & window)
    np.testing.assert_array_equal(painted(outside, mask.shape), mask & ~window)


def test_a_mask_file_of_few_bytes_is_read(tmp_path, monkeypatch):
    """A stranger's file of so many pixels a byte is refused."""
    monkeypatch.setattr(images, "_SMALL", 0.5)
    mask = np.zeros((1000, 1000, 1), np.uint8)
    mask[990:, 10:13] = 255
    images.write_image(tmp_path / "mask.png", mask)
    with pytest.raises(images.TooLarge):
        images.read_image(tmp_path / "mask.png")
    measured = instances.measure(runs.read(tmp_path / "mask.png"))
    assert measured == {"box": (10, 990, 3, 10), "area": 30}


def record(*defects):
    """A record of a picture and its mask, of defects (class, bool [H, W])."""
    described = [{"class": name} | instances.measure(mask) for name, mask in defects]
    mask = np.any([mask for _, mask in defects], axis=0)
    return {"file": "images/a/0.png", "class": "a", "defects": described}, mask


def area(y, x, height, width):
    mask = np.zeros((60, 80), bool)
    mask[y : y + height, x : x + width] = True
    return mask


CASES = {
    "apart": [area(0, 0, 9, 9), area(30, 40, 5, 30)],
    "one in the box of the other": [area(0, 0, 50, 3) | area(0, 3, 3, 70), area(20, 20, 9, 9)],
    "boxes that overlap": [area(0, 0, 40, 3) | area(37, 3, 3, 30), area(30, 20, 2, 40)],
    "touching": [area(5, 5, 10, 10), area(5, 15, 10, 30)],
    "of two pieces": [area(0, 0, 9, 9) | area(0, 15, 9, 9), area(50, 0, 4, 4)],
}


@pytest.mark.parametrize("masks", CASES.values(), ids=CASES)
def test_each_defect_gets_its_own_pixels(masks, caplog):
    described, whole = record(*zip("ab", masks, strict=True))
    shared = instances.shared_out(described, whole)
    for part, mask in zip(shared, masks, strict=True):
        np.testing.assert_array_equal(painted(part, mask.shape), mask)
    with caplog.at_level(logging.WARNING, logger="dtgan"):
        labelled = instances.labelled(described, whole, "whole")
    assert [name for name, _ in labelled] == ["a", "b"] and not caplog.text
    parts = [len(instances.split(mask, "parts")) for mask in masks]
    labelled = instances.labelled(described, whole, "parts")
    assert [name for name, _ in labelled] == ["a"] * parts[0] + ["b"] * parts[1]


def test_without_a_list_of_defects_all_are_of_the_picture_s_class():
    mask = area(0, 0, 9, 9) | area(30, 40, 5, 30)
    labelled = instances.labelled({"file": "images/a/0.png", "class": "a"}, mask, "parts")
    assert [(name, part.area) for name, part in labelled] == [("a", 81), ("a", 150)]


def test_a_mask_that_contradicts_its_record_is_told(caplog):
    described, whole = record(("a", area(0, 0, 9, 9)), ("b", area(30, 40, 5, 30)))
    described["defects"][1]["area"] += 1
    with caplog.at_level(logging.WARNING, logger="dtgan"):
        instances.labelled(described, whole, "parts")
    assert "the mask has 150 pixels of b in (40, 30, 30, 5), the record 151" in caplog.text
    with pytest.raises(ValueError, match="4 pixels are in none of"):
        instances.shared_out(described, whole | area(50, 0, 2, 2))
    with pytest.raises(ValueError, match="no pixel in"):
        instances.shared_out(described, area(0, 0, 9, 9))
