"""Pins the search for nearly equal pictures across groups."""

import numpy as np
from scipy import ndimage

from dtgan.metrics import near


def textures(number):
    rng = np.random.default_rng(0)
    grain = ndimage.gaussian_filter(rng.normal(size=(number, 64, 64)), (0, 2, 2))
    grain = grain / grain.std((1, 2), keepdims=True)
    return np.clip(128 + 30 * grain, 0, 255).astype(np.uint8)[..., None]


def test_flips_and_crops_are_found_across_groups_alone():
    pictures = textures(12)
    pictures[8] = pictures[0][::-1]  # val, mirrored
    crop = ndimage.zoom(pictures[1, 3:61, 3:61, 0].astype(float), 64 / 58, order=1)
    pictures[9, ..., 0] = np.clip(crop, 0, 255)
    pictures[3] = pictures[2]  # of one group: not told
    groups = [("train", "pit")] * 8 + [("val", "pit")] * 4
    found = near.pairs(pictures, groups)
    assert [(pair.first, pair.second) for pair in found] == [(0, 8), (9, 1)]
    assert found[0].ncc > 0.99 and found[1].ncc > near.LIMIT
    groups[3] = ("train", "dent")
    assert {2, 3} in [{pair.first, pair.second} for pair in near.pairs(pictures, groups)]
    sheet = near.sheet(pictures, found)
    assert sheet.shape == (2 * 194 + 2, 2 * 194 + 2, 1)
    left, right = sheet[2:194, 2:194], sheet[2:194, 196:388]
    assert np.abs(left.astype(int) - right).mean() < 1.0  # aligned: the mirror image is turned back
