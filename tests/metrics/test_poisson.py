"""Pins Poisson blending: the paper's equations by a dense solve, closed forms, borders, limits."""

import numpy as np
import pytest

from dtgan.metrics.poisson import membrane, seamless_clone
from tests import goldens


def mask_of(region, size=12):
    mask = np.zeros((size, size, 1), np.uint8)
    mask[region] = 255
    return mask


INNER = mask_of(np.s_[3:8, 4:9])
CORNER = mask_of(np.s_[:5, 7:])


def dense_clone(source, target, mask):
    """Perez et al. 2003, equation 7, pixel by pixel, one channel, float64 [H, W]."""
    pixels = [tuple(p) for p in np.argwhere(mask[..., 0])]
    a, b = np.zeros((len(pixels), len(pixels))), np.zeros(len(pixels))
    for row, (y, x) in enumerate(pixels):
        for q in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= q[0] < mask.shape[0] and 0 <= q[1] < mask.shape[1]):
                continue
            a[row, row] += 1
            b[row] += source[y, x] - source[q]
            if mask[q]:
                a[row, pixels.index(q)] -= 1
            else:
                b[row] += target[q]
    result = target.copy()
    result[tuple(np.transpose(pixels))] = np.linalg.solve(a, b)
    return result


@pytest.mark.parametrize("mask", [INNER, CORNER, INNER | CORNER])
def test_equals_the_dense_solution(mask):
    source, target = goldens.images(0, 2, 12) // 3 + 80
    wanted = [dense_clone(source[..., c] * 1.0, target[..., c] * 1.0, mask) for c in range(3)]
    wanted = np.stack(wanted, axis=-1)
    assert wanted.min() > 1 and wanted.max() < 254  # nothing is clipped
    clone = seamless_clone(source, target, mask)
    assert clone.dtype == np.uint8
    np.testing.assert_allclose(clone, wanted, atol=0.5 + 1e-9)
    assert np.any(clone != source) and np.any(clone != target)


def test_height_is_not_width():
    source, target, mask = (image[2:9] for image in (*goldens.images(0, 2, 12, 1) // 3 + 80, INNER))
    wanted = dense_clone(source[..., 0] * 1.0, target[..., 0] * 1.0, mask)
    clone = seamless_clone(source, target, mask)
    np.testing.assert_allclose(clone[..., 0], wanted, atol=0.5 + 1e-9)


@pytest.mark.parametrize("mask", [INNER, CORNER])
def test_constant_offset_of_the_target_gives_the_target(mask):
    target = goldens.images(1, 1, 12)[0] // 2
    np.testing.assert_array_equal(seamless_clone(target + np.uint8(90), target, mask), target)


@pytest.mark.parametrize("mask", [INNER, CORNER])
def test_source_without_gradient_gives_the_membrane(mask):
    target = goldens.images(2, 1, 12)[0]
    filled = membrane(target, mask)
    np.testing.assert_array_equal(seamless_clone(np.full_like(target, 33), target, mask), filled)
    assert np.any(filled != target)


def test_membrane_continues_a_plane():
    y, x = np.mgrid[:12, :12]
    plane = (20 + 5 * x + 9 * y)[..., None].astype(np.uint8)
    np.testing.assert_array_equal(membrane(np.where(INNER, np.uint8(255), plane), INNER), plane)


def test_one_pixel_is_the_mean_of_its_neighbours_inside_the_image():
    image = np.zeros((12, 12, 1), np.uint8)
    image[3, 4], image[5, 4], image[4, 3], image[4, 5] = 10, 20, 30, 44
    assert membrane(image, mask_of(np.s_[4, 4]))[4, 4, 0] == 26
    image[0, 1], image[1, 0] = 100, 60
    assert membrane(image, mask_of(np.s_[0, 0]))[0, 0, 0] == 80  # no slope towards the border


def test_outside_the_mask_nothing_changes():
    source, target = goldens.images(3, 2, 12)
    clone = seamless_clone(source, target, CORNER)
    np.testing.assert_array_equal(np.where(CORNER, 0, clone), np.where(CORNER, 0, target))
    np.testing.assert_array_equal(seamless_clone(source, target, 0 * CORNER), target)
    np.testing.assert_array_equal(membrane(target, 0 * CORNER), target)


def test_full_mask_keeps_the_mean_of_the_target():
    source, target = goldens.images(4, 2, 12) // 2 + 60
    full = np.full((12, 12, 1), 255, np.uint8)
    shift = target.mean((0, 1)) - source.mean((0, 1))
    np.testing.assert_array_equal(seamless_clone(source, target, full), np.rint(source + shift))
    wanted = np.broadcast_to(np.rint(target.mean((0, 1))), target.shape)
    np.testing.assert_array_equal(membrane(target, full), wanted)


def test_overshoot_is_clipped_not_wrapped():
    source = np.zeros((12, 12, 1), np.uint8)
    source[4:6, 5:7] = 200
    clone = seamless_clone(source, np.full_like(source, 150), INNER)
    assert np.all(clone[4:6, 5:7] == 255)
