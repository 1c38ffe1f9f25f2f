"""Pins the families without parameters against their exact definitions in NumPy and SciPy."""

import jax
import numpy as np
import pytest

from dtgan.config import base_config
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.images import to_uint8
from dtgan.methods import paste, poisson
from dtgan.metrics.poisson import seamless_clone


@pytest.fixture(scope="module")
def pairs():
    """x1, x2 and masks uint8: of procedural steel, at a border, full, empty, two parts."""
    source = ProceduralSteel("test", 32, scale_counts=0.05)
    defects = np.flatnonzero(source.labels > 0)
    rows = [defects[k] for k in (0, 20, 40)]
    x1 = np.stack([source[i]["image"] for i in rows] + [source[rows[0]]["image"]] * 4)
    x2 = np.stack([source[i]["image"] for i in range(7)])
    mask = np.zeros((7, 32, 32, 1), np.uint8)
    mask[:3] = [source[i]["mask"] for i in rows]
    mask[3, :10, 20:] = 255
    mask[4] = 255
    mask[6, 4:9, 4:9] = mask[6, 20:28, 10:30] = 255
    return x1, x2, mask


def draw(make, pairs):
    x1, x2, mask = pairs
    method = make(base_config("paste"), CLASSES)
    request = {"defect": x1, "surface": x2, "defect_mask": mask}
    return jax.jit(method.infer)({}, request, {})


def test_paste_takes_the_masked_pixels(pairs):
    x1, x2, mask = pairs
    drawn = draw(paste.make, pairs)
    np.testing.assert_array_equal(to_uint8(drawn["image"]), np.where(mask > 127, x1, x2))
    np.testing.assert_array_equal(to_uint8(drawn["clean"]), x2)
    np.testing.assert_array_equal(drawn["mask"], (mask > 127).astype(np.float32))


def test_poisson_blending_is_the_exact_solution_to_a_grey_level(pairs):
    x1, x2, mask = pairs
    image = to_uint8(draw(poisson.make, pairs)["image"])
    exact = np.stack([seamless_clone(*triple) for triple in zip(x1, x2, mask, strict=True)])
    assert np.abs(image.astype(int) - exact).max() <= 1
    np.testing.assert_array_equal(image[5], x2[5])
    outside = mask <= 127
    np.testing.assert_array_equal(image[outside], x2[outside])
