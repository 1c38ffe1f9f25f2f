"""Pins which data.scale is proposed, for planted sets of thin and of large defects."""

import numpy as np
import pytest

from dtgan.config import base_config
from dtgan.data import scales
from dtgan.data.source import Source


class Planted(Source):
    """Pictures with a rectangle (height, width) of a defect each; None: without a mask.

    boxed: the rectangles are boxes, so that no mask is known.
    """

    fingerprint, boxed = "0" * 16, False

    def __init__(self, size, **defects):
        self.classes, self._boxes = ("normal", *defects), [None]
        self._boxes += [box for boxes in defects.values() for box in boxes]
        counts = [len(boxes) for boxes in defects.values()]
        self.labels = np.repeat(np.arange(len(self.classes), dtype=np.int32), [1, *counts])
        self.sizes = np.tile(np.array([size], np.int32), (len(self.labels), 1))

    def __getitem__(self, index):
        mask = np.zeros((*self.sizes[index], 1), np.uint8)
        if self._boxes[index]:
            height, width = self._boxes[index]
            mask[5 : 5 + height, 7 : 7 + width] = 255
        return {"mask": mask, "has_mask": not self.boxed and self._boxes[index] is not None}


def propose(source, res=64, **fields):
    config = base_config()
    config.data.update({"res": res, **fields})
    return scales.propose(source, config.data)


def test_defects_that_fit_are_left_as_they_are():
    found = propose(Planted((256, 400), pit=[(20, 30)] * 9 + [(100, 100)]))
    assert found.scale == 1.0
    assert found.why == (
        "90 % of the defects fit into a crop of 64 px, and pit, the thinnest class, is 19 px wide "
        "(median)"
    )


def test_large_patches_are_reduced_until_they_fit_and_no_further():
    found = propose(Planted((512, 600), patch=[(100, 120)] * 10))
    assert found.scale == 0.5 and [o.fit for o in found.options] == [0.0, 1.0, 1.0, 1.0]
    assert found.now.scale == (0.125, 0.125) and found.now.width == 99 / 8
    assert propose(Planted((512, 600), patch=[(200, 250)] * 10)).scale == 0.25
    narrow = propose(Planted((128, 600), patch=[(100, 250)] * 9 + [(100, 120)]))
    assert narrow.scale == 0.5 and narrow.why.startswith("10 % of the defects")
    assert "; at 0.25 11 more pictures would be smaller than a crop; a larger" in narrow.why
    wide = propose(Planted((900, 900), patch=[(800, 800)] * 10))
    assert wide.scale == 1.0 and "; a smaller scale holds no more; a larger data.res" in wide.why


def test_thin_scratches_keep_every_class_drawn():
    sets = {"scratch": [(3, 200)] * 10, "patch": [(100, 120)] * 10}
    found = propose(Planted((512, 600), **sets))
    assert found.scale == 1.0 and found.options[0].fit == 0.0
    assert "scratch, the thinnest class, is 3 px wide" in found.why
    assert "; at 0.5 scratch would be 1.5 px, below 3; a larger data.res holds more" in found.why
    thicker = propose(Planted((512, 600), **{**sets, "scratch": [(7, 100)] * 10}))
    assert thicker.scale == 0.5 and thicker.options[1].width == 3.5


def test_pictures_smaller_than_a_crop_are_counted():
    source = Planted((200, 90), pit=[(20, 30)] * 3)
    source.sizes[2] = 60, 90
    found = propose(source)
    assert found.options[0].small == 1 and found.options[1].small == 4
    assert "1 pictures are smaller than a crop: add --config.data.upscale=True" in found.why


def test_boxes_tell_what_fits_and_not_how_thin_it_is():
    source = Planted((512, 600), scratch=[(3, 200)] * 10)
    source.boxed = True
    found = propose(source)
    assert found.scale == 0.25 and np.isnan(found.options[0].width)
    assert found.why == "100 % of the defects fit into a crop of 64 px"


def test_nothing_is_proposed_without_masks_or_for_crops():
    assert propose(Planted((256, 256), pit=[None] * 3)) is None
    assert propose(Planted((64, 64), pit=[(9, 9)])) is None


@pytest.mark.parametrize(
    ("boxes", "want"),
    [
        ([(0, 0, 3, 40)], [(3, 40)]),
        ([(0, 0, 9, 9), (30, 30, 5, 20), (50, 50, 1, 1)], [(5, 20), (9, 9)]),
        ([(50, 50, 1, 1), (60, 60, 1, 1)], [(1, 1), (1, 1)]),  # specks alone
        ([(10 * k, 0, 5, 5 + k) for k in range(8)], [(5, 12 - k) for k in range(8)]),
    ],
)
def test_parts_are_measured(boxes, want):
    mask = np.zeros((90, 90, 1), np.uint8)
    for y, x, height, width in boxes:
        mask[y : y + height, x : x + width] = 255
    assert scales.parts_of(mask) == want


def test_few_pictures_of_each_class_are_read(monkeypatch):
    monkeypatch.setattr(scales, "PICTURES", 5)
    found = scales.measure(Planted((64, 64), pit=[(9, 9)] * 12, dent=[(9, 9)] * 4))
    assert np.bincount(found.label.astype(int)).tolist() == [0, 4, 4]
