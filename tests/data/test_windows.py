"""Pins what scaling and windows keep of a defect: examples, and properties of random masks."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from dtgan import images
from dtgan.config import base_config
from dtgan.data import crops, pipeline, transforms, windows
from dtgan.data.source import Source, View

SIDES = st.integers(8, 40)
THREE = np.ones((3, 3), bool)


@st.composite
def masks(draw):
    """Masks of {0, 255} of few or many pixels, not empty; of sides 8 to 40."""
    shape = draw(SIDES), draw(SIDES)
    if draw(st.booleans()):
        bits = draw(hnp.arrays(bool, shape))
    else:
        bits = np.zeros(shape, bool)
        for _ in range(draw(st.integers(1, 5))):
            y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
            bits[y : y + draw(st.integers(1, 12)), x : x + draw(st.integers(1, 12))] = True
    hypothesis.assume(bits.any())
    return np.where(bits, np.uint8(255), np.uint8(0))[..., None]


def data_of(**fields):
    config = base_config()
    config.data.update(fields)
    return config.data


@hypothesis.given(masks(), st.integers(2, 8))
def test_the_best_window_holds_the_maximum(mask, res):
    held = {
        (y, x): np.count_nonzero(windows.cut(mask, y, x, res))
        for y in range(mask.shape[0] - res + 1)
        for x in range(mask.shape[1] - res + 1)
    }
    assert held[windows.best_window(mask, res)] == max(held.values())


@hypothesis.given(masks(), st.integers(2, 8))
def test_every_part_is_shown_as_far_as_half_of_what_a_window_can(mask, res):
    places = windows.fixed_windows(mask, res)
    assert places[0] == windows.best_window(mask, res) and len(set(places)) == len(places)
    parts, number = ndimage.label(mask[..., 0], THREE)
    for part in (parts[..., None] == k + 1 for k in range(number)):
        if np.count_nonzero(part) >= windows.SPECK:
            most = np.count_nonzero(windows.cut(part, *windows.best_window(part, res), res))
            assert 2 * max(np.count_nonzero(windows.cut(part, *w, res)) for w in places) >= most


@hypothesis.given(masks(), SIDES, SIDES)
def test_scaled_masks_stay_where_the_defect_is_and_are_never_empty(mask, height, width):
    scaled = images.resize_mask(mask, (height, width))
    assert scaled.shape == (height, width, 1) and set(np.unique(scaled)) <= {0, 255}
    assert scaled.any()
    # A pixel of the file is of the scaled pixel that its middle is in, or, enlarged, of several.
    ratio = np.array([height, width]) / mask.shape[:2]
    touched = np.zeros((height, width), bool)
    for pixel in np.argwhere(mask[..., 0]):
        start = np.floor((pixel + 0.5) * ratio).astype(int)
        stop = np.maximum(start + 1, np.ceil((pixel + 1) * ratio).astype(int))
        low = np.minimum(start, np.floor(pixel * ratio).astype(int))
        touched[low[0] : stop[0], low[1] : stop[1]] = True
    marked = scaled[..., 0] > 0
    assert not (marked & ~touched).any()
    if ratio.max() <= 1:
        for pixel in np.argwhere(mask[..., 0]):
            y, x = np.floor((pixel + 0.5) * ratio).astype(int)
            assert marked[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any()


@hypothesis.given(masks(), st.integers(4, 16), st.integers(0, 40))
def test_no_record_has_a_mask_that_marks_nothing(mask, res, scale_to):
    hypothesis.assume(scale_to == 0 or scale_to >= res)
    source = OneDefect(mask)
    config = base_config()
    config.data.update({"res": res, "scale_to": scale_to, "upscale": True, "flips": "both"})
    for record in crops.FixedWindows(source, config):
        assert record["image"].shape == record["mask"].shape == (res, res, 1)
        assert record["has_mask"] == record["mask"].any()
    rows = crops.FixedWindows(source, config)
    loaded = pipeline.load_records(config, rows, range(len(rows)))
    assert rows[0]["has_mask"] and np.array_equal(loaded["mask"], [row["mask"] for row in rows])
    rng, augment = np.random.default_rng(0), transforms.AugmentPair(config.data, ("image", "mask"))
    scaled = transforms.scale_record(source[0], config.data)
    for _ in range(4):
        example = augment.random_map(((0, -1), (), (scaled, None)), rng)
        assert example["mask"].any()


@hypothesis.given(masks(), st.integers(4, 8), st.integers(0, 2**31))
def test_image_and_mask_are_cropped_and_flipped_alike(mask, res, seed):
    source = OneDefect(mask)  # its image is its mask
    data = data_of(res=res, scale_to=-1, flips="both")
    augment = transforms.AugmentPair(data, ("image", "mask"))
    element = (0, -1), (1,), (source[0], None)
    example = augment.random_map(element, np.random.default_rng(seed))
    np.testing.assert_array_equal(example["image"], example["mask"])


class OneDefect(View):
    """A picture that is its own mask."""

    classes, fingerprint = ("normal", "pit"), "0" * 16

    def __init__(self, *masks):
        self._masks = masks
        self.labels = np.ones(len(masks), np.int32)
        self.sizes = np.array([mask.shape[:2] for mask in masks], np.int32)

    def resolve(self, index):
        return self, int(index)

    def shown(self, index, data):
        return windows.shown(self._masks[index], data)

    def __getitem__(self, index):
        mask = self._masks[index]
        known = np.bool_(mask.any())
        return {"image": mask, "mask": mask, "has_mask": known, "label": 1, "id": f"{index}.png"}


def discs(shape, *centres, radius=20):
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = [(y - cy) ** 2 + (x - cx) ** 2 <= radius**2 for cy, cx in centres]
    return np.where(np.any(inside, axis=0), np.uint8(255), np.uint8(0))[..., None]


def test_parts_far_apart_give_a_record_each():
    config = base_config()
    config.data.res = 64
    two, one = discs((256, 1600), (128, 60), (128, 1400)), discs((256, 1600), (128, 800))
    rows = crops.FixedWindows(OneDefect(two, one), config)
    assert len(rows) == 3 and rows.pictures.tolist() == [0, 0, 1]
    assert [rows[k]["id"] for k in range(3)] == ["0.png", "0.png#1", "1.png"]
    records = pipeline.load_records(config, rows, range(3))
    assert records["has_mask"].all() and (records["mask"] > 0).sum((1, 2, 3)).min() > 60
    # In the middle of the window, as far as the picture allows.
    x = np.nonzero(records["mask"][2][..., 0])[1]
    assert abs(x.mean() - 31.5) <= 0.5


@pytest.mark.parametrize("shape", ["ring", "u"])
def test_hollow_shapes_larger_than_a_window(shape):
    y, x = np.ogrid[:200, :200]
    distance = np.hypot(y - 100, x - 100)
    mask = (distance < 90) & (distance > 84) & ((shape == "ring") | (y > 100))
    mask = np.where(mask, np.uint8(255), np.uint8(0))[..., None]
    top, left = windows.best_window(mask, 48)
    assert np.count_nonzero(windows.cut(mask, top, left, 48)) > 250
    assert len(windows.fixed_windows(mask, 48)) == 1  # one part


def test_a_window_lies_as_it_did_where_the_defect_fits():
    mask = np.zeros((40, 60, 1), np.uint8)
    assert windows.best_window(mask, 32) == (4, 14)
    mask[30:34, 2:6] = 255
    assert windows.best_window(mask, 32) == (8, 0)
    assert windows.best_window(mask, 16) == (24, 0)
    mask = np.zeros((40, 60, 1), np.uint8)
    mask[18:22, 28:32] = 255
    assert windows.best_window(mask, 8) == (16, 26)


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_a_hairline_stays_a_line_of_a_pixel(slope):
    mask = np.zeros((128, 128, 1), np.uint8)
    x = np.arange(20, 108)
    mask[(64 + slope * (x - 64)).astype(int), x] = 255
    scaled = images.resize_mask(mask, (32, 32))
    assert scaled.any(axis=(0, 2)).sum() >= 22  # in every column that it crosses
    assert windows.thickness(scaled, scaled) == windows.thickness(mask, scaled) == 1
    assert ndimage.label(scaled[..., 0], THREE)[1] == 1


def test_thick_shapes_keep_their_area():
    mask = discs((128, 128), (60, 70), radius=30)
    scaled = images.resize_mask(mask, (32, 32))
    assert abs(np.count_nonzero(scaled) * 16 / np.count_nonzero(mask) - 1) < 0.03


def test_what_is_shown_counts_and_measures():
    data = data_of(res=32)
    mask = np.zeros((64, 320, 1), np.uint8)
    mask[30, 10:60], mask[20:40, 300:310] = 255, 255
    one = windows.shown(mask, data)
    assert one.in_file == 250 and len(one.windows) == 2 and one.cropped == one.scaled
    assert one.width == 4.5  # the widest odd square in 20 x 10 pixels, halved
    line = np.zeros_like(mask)
    line[30, 10:60] = 255
    assert windows.shown(line, data).width == 0.5
    assert windows.shown(mask * 0, data) == windows.untouched((64, 320), data)


@hypothesis.given(st.integers(4, 300), st.integers(4, 300), st.sampled_from([2, 3, 4]))
def test_grid_windows_are_spread_evenly_and_do_not_overlap(height, width, res):
    places = windows.grid_windows((height, width), res)
    assert 1 <= len(places) <= windows.GRID
    seen = np.zeros((height, width), int)
    for y, x in places:
        seen[y : y + res, x : x + res] += 1
        assert 0 <= y <= height - res and 0 <= x <= width - res
    assert seen.max() == 1 and seen.sum() == len(places) * res**2
    fit = (height // res) * (width // res)
    assert len(places) == fit or fit > windows.GRID


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ((64, 64), [(0, 0)]),
        ((127, 100), [(31, 18)]),  # the centre, as without data.scale
        ((64, 256), [(0, 0), (0, 64), (0, 128), (0, 192)]),
        ((150, 130), [(5, 0), (0, 65), (82, 0), (77, 65)]),  # parts of 75 x 65
    ],
)
def test_grid_windows_of_pictures(size, want):
    assert windows.grid_windows(size, 64) == want


def test_few_windows_of_a_large_picture_lie_in_equal_parts_up_to_its_borders():
    places = np.array(windows.grid_windows((4096, 4096), 64))
    assert (places // (4096 / 3)).astype(int).tolist() == [list(k) for k in np.ndindex(3, 3)]
    rows, columns = np.array(windows.grid_windows((256, 1600), 128)).T
    assert rows.min() < 16 and rows.max() > 112 and len(set(rows // 32)) == 4
    assert ((columns + 64) * 9 // 1600).tolist() == list(range(9))


class Strips(Source):
    """A normal picture and defects, each its own mask; counts what is read."""

    classes, fingerprint, reads = ("normal", "pit"), "0" * 16, 0

    def __init__(self, *masks):
        self._masks = masks
        self.labels = np.arange(len(masks), dtype=np.int32).clip(0, 1)
        self.sizes = np.array([mask.shape[:2] for mask in masks], np.int32)

    def __getitem__(self, index):
        self.reads += 1
        mask, label = self._masks[index], int(self.labels[index])
        known = np.bool_(mask.any())
        return {
            "image": mask,
            "mask": mask,
            "has_mask": known,
            "label": label,
            "id": f"{index}.png",
        }


def test_normals_have_the_grid_with_data_scale_and_defects_their_windows():
    masks = [np.zeros((64, 320, 1), np.uint8) for _ in range(3)]
    masks[1][28:32, 58:62] = 255
    source, config = Strips(*masks), base_config()
    config.data.update({"res": 64, "scale": 0.0})
    assert crops.FixedWindows(source, config).pictures.tolist() == [0, 1, 2]
    config.data.scale = 1.0
    rows = crops.FixedWindows(source, config)
    assert rows.pictures.tolist() == [0, 0, 0, 0, 0, 1, 2]  # without a mask: the centre alone
    assert [rows.window(k) for k in (1, 6)] == [((64, 320), (0, 64)), ((64, 320), (0, 128))]
    source.reads = 0
    assert [rows[k]["id"] for k in range(3)] == ["0.png", "0.png#1", "0.png#2"]
    assert source.reads == 1


def test_windows_are_uniform_among_those_that_touch_the_mask():
    rng = np.random.default_rng(0)
    mask = np.zeros((8, 4, 1), np.uint8)
    mask[2, 1] = 255
    starts = collections.Counter(windows.random_window(mask, 4, rng) for _ in range(1500))
    assert set(starts) == {(0, 0), (1, 0), (2, 0)}
    assert all(400 < n < 600 for n in starts.values())
    empty = collections.Counter(windows.random_window(mask * 0, 4, rng) for _ in range(500))
    assert set(empty) == {(y, 0) for y in range(5)}
    far = np.zeros((400, 400, 1), np.uint8)
    far[399, 0] = 255
    assert {windows.random_window(far, 8, rng) for _ in range(50)} == {(392, 0)}
