"""Pins the surfaces from pictures of defects: no defect in them, large, known as parts."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dtgan.config import ConfigError, base_config, check_scaling
from dtgan.data import clean, crops
from dtgan.data.names import picture_of
from dtgan.data.source import Selected, Source, of_classes


@hypothesis.given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_the_part_is_the_largest_free_rectangle(marked):
    rows, columns = marked.shape
    free = [
        (bottom - top) * (right - left)
        for top, bottom in itertools.combinations(range(rows + 1), 2)
        for left, right in itertools.combinations(range(columns + 1), 2)
        if min(bottom - top, right - left) >= 2 and not marked[top:bottom, left:right].any()
    ]
    found = clean.largest_part(marked, marked.shape, 2)
    assert (found is None) == (not free)
    if found:
        y, x, height, width = found
        assert height * width == max(free) and min(height, width) >= 2
        assert not marked[y : y + height, x : x + width].any()


class Pictures(Source):
    """Pictures of noise with rectangles (y, x, height, width) as defects, by class; None: no mask.

    Pictures of the same seed have the same pixels.
    """

    classes, fingerprint = ("normal", "pit", "crack"), "0" * 16

    def __init__(self, size, *rows):
        self._rows = rows  # of (label, seed, box)
        self.labels = np.array([row[0] for row in rows], np.int32)
        self.sizes = np.tile(np.array([size], np.int32), (len(rows), 1))

    def __getitem__(self, index):
        label, seed, box = self._rows[index]
        size = (*self.sizes[index], 1)
        mask = np.zeros(size, np.uint8)
        if box:
            y, x, height, width = box
            mask[y : y + height, x : x + width] = 255
        image = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
        known = np.bool_(box is not None or not label)
        return {"image": image, "mask": mask, "has_mask": known, "label": label, "id": f"{index}"}


def data_of(**fields):
    config = base_config()
    config.data.update({"res": 32, "scale": 1.0, "clean_parts": True, **fields})
    return config.data


def test_parts_are_normal_pictures_of_their_own_size():
    rows = (0, 0, None), (1, 1, (20, 100, 9, 9)), (2, 2, (0, 0, 64, 200)), (2, 3, None)
    source = clean.WithCleanParts(Pictures((64, 200), *rows), data_of())
    assert source.labels.tolist() == [0, 1, 2, 2, 0]  # the third has no room, the fourth no mask
    assert source.sizes[4].tolist() == [64, 96] and source.groups.tolist() == [0, 1, 2, 3, 1]
    part, whole = source[4], source[1]
    assert part["id"] == "1#clean" and part["has_mask"] and not part["mask"].any()
    np.testing.assert_array_equal(part["image"], whole["image"][:, :96])  # 4 pixels beside it
    assert whole["label"] == 1 and len(list(source)) == 5
    chosen = Selected(source, [4, 0])
    np.testing.assert_array_equal(chosen[0]["image"], part["image"])
    assert len(of_classes(source, ("crack",))) == 4 and source.fingerprint != "0" * 16
    fixed = crops.FixedWindows(source, base_of(data_of()))
    assert fixed.pictures.tolist().count(4) == 2 * 3 and fixed[len(fixed) - 1]["id"] == "1#clean#5"
    assert picture_of("1#clean#5") == picture_of("1#2") == "1"


def base_of(data):
    config = base_config()
    config.data = data
    return config


def test_all_masks_of_the_same_pixels_count():
    size, left, right = (64, 200), (30, 40, 4, 4), (30, 160, 4, 4)
    both = clean.WithCleanParts(Pictures(size, (1, 7, left), (2, 7, right)), data_of())
    assert both.sizes[2:].tolist() == [[64, 156 - 48]]
    with_unknown = Pictures(size, (1, 7, left), (2, 7, None))
    assert len(clean.WithCleanParts(with_unknown, data_of())) == 2
    assert clean.WithCleanParts(with_unknown, data_of()).fingerprint == "0" * 16


@hypothesis.given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0]))
def test_no_part_touches_a_mask(seed, scale):
    rng = np.random.default_rng(seed)
    boxes = [(*rng.integers(0, 80, 2).tolist(), *rng.integers(1, 40, 2).tolist()) for _ in "123"]
    pictures = Pictures((100, 140), *((1, 5, box) for box in boxes))
    source = clean.WithCleanParts(pictures, data_of(scale=scale))
    union = np.any([pictures[k]["mask"] for k in range(3)], axis=0)
    for k in range(3, len(source)):
        y, x, height, width = source._boxes[k - 3]
        assert not union[y : y + height, x : x + width].any()
        assert min(height, width) * scale >= 31.5


def test_parts_need_one_scale_for_all():
    with pytest.raises(ConfigError, match=r"data\.clean_parts=True needs one scale for all"):
        check_scaling(data_of(scale=0.0))
