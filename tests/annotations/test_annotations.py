"""Pins boxes, run lengths and outlines of masks, and the formats as their own readers see them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from dtgan.annotations import coco


@pytest.fixture(params=["blob", "two", "line", "border"])
def mask(request):
    mask = np.zeros((48, 64), np.uint8)
    if request.param == "blob":
        ys, xs = np.mgrid[:48, :64]
        mask[(ys - 20) ** 2 + (xs - 40) ** 2 < 90] = 255
    elif request.param == "two":
        mask[5:12, 8:20] = mask[30:40, 50:60] = 255
    elif request.param == "line":
        mask[np.arange(10, 40), np.arange(10, 40)] = 255
        mask[np.arange(10, 40), np.arange(11, 41)] = 255
    else:
        mask[40:, 55:] = 255
    return mask


def test_box_is_that_of_the_pixels(mask):
    x, y, width, height = coco.box(mask)
    assert mask[y : y + height, x : x + width].sum() == mask.sum()
    for inner in (mask[y, :], mask[y + height - 1, :], mask[:, x], mask[:, x + width - 1]):
        assert inner.any()


def test_run_lengths_return_the_mask(mask):
    decoded = coco_mask.decode(coco.rle(mask))
    np.testing.assert_array_equal(decoded, mask > 0)


def test_outlines_cover_the_mask(mask):
    """Filled at eight times the size and read back at the pixels' centres."""
    height, width = mask.shape
    sheet = Image.new("L", (8 * width, 8 * height))
    for outline in coco.polygons(mask):
        assert outline.min() >= 0 and outline.max() <= 1 and len(outline) >= 3
        corners = [(8 * width * x, 8 * height * y) for x, y in outline]
        ImageDraw.Draw(sheet).polygon(corners, fill=255)
    back = np.asarray(sheet)[4::8, 4::8] > 127
    assert (back & (mask > 0)).sum() / (back | (mask > 0)).sum() > 0.97
