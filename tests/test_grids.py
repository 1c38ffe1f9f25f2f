"""Pins the sheets of samples: which columns, in which order, under which titles."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from dtgan.sampling import grids


@pytest.mark.parametrize(
    ("transfers", "needs", "outputs", "titles"),
    [
        (
            True,
            ("defect", "surface"),
            ("image", "rec", "clean", "removed", "mask"),
            ["x1", "mask", "x1r", "x1a", "x2", "x4 anchor", "x3 hybrid", "true x3", "|x3 - x2|"],
        ),
        (
            False,
            ("surface", "labels"),
            ("image", "mask", "clean", "removed"),
            ["d", "n' restored", "n", "d' painted", "mask", "|d' - n|"],
        ),
        (False, ("surface",), ("image",), ["n", "d' painted", "|d' - n|"]),
        (
            False,
            ("labels",),
            ("image", "mask", "clean"),
            ["twin x0", "image x", "mask", "|x - x0|"],
        ),
    ],
)
def test_columns(transfers, needs, outputs, titles):
    method = SimpleNamespace(transfers=transfers, needs=needs, gives=outputs)
    batch = {name: np.full((2, 8, 8, 1), k, np.uint8) for k, name in enumerate(("image", "normal"))}
    drawn = {name: np.zeros((2, 8, 8, 1), np.float32) for name in outputs}
    with mock.patch.object(grids.images, "with_header") as header:
        grids.sample_grid(method, batch | {"truth": batch["image"]}, drawn)
    assert header.call_args.args[1] == titles


def test_images_alone_lie_side_by_side():
    method = SimpleNamespace(transfers=False, needs=(), gives=("image",))
    sheet = grids.sample_grid(method, {}, {"image": np.zeros((4, 8, 8, 1), np.float32)})
    assert sheet.ndim == 3
