"""Pins which hybrids are shown, in which order, beside which real image."""

from types import SimpleNamespace

import numpy as np
import pytest

from dtgan.data.records import Records
from dtgan.evaluation.fakes import Fakes
from dtgan.evaluation.gallery import EACH, gallery
from dtgan.pages import pictures

SIDE, CLASSES = 4, ("normal", "dark", "light")


def records(greys, labels, masks=True):
    """Images of one grey each, of masks that are white where known."""
    image = np.broadcast_to(np.uint8(greys)[:, None, None, None], (len(greys), SIDE, SIDE, 1))
    known = np.full(len(greys), masks)
    mask = np.where(known[:, None, None, None], np.uint8(255), np.uint8(0))
    mask = np.broadcast_to(mask, image.shape)
    return Records(image, np.int32(labels), mask, known, np.arange(len(greys)))


def context(real, train):
    """What `gallery` needs of a Context; the feature is the grey level."""
    return SimpleNamespace(
        classes=CLASSES,
        train=train,
        split={"test": real}.get,
        settings=SimpleNamespace(split="test"),
        features=lambda images, cache=None: {"pool": images[:, 0, 0].astype(float)},
    )


TRAIN = records([5, 7, 50, 210], [0, 0, 1, 2])


def test_every_class_from_the_nearest_to_the_farthest():
    real = records([0, 20, 22, 200, 100], [1, 1, 1, 2, 0])
    fakes = records([30, 21, 60, 44, 23, 80, 201, 230], [1, 1, 1, 1, 1, 1, 2, 2])
    fakes = fakes._replace(index=np.array([2] * 6 + [3] * 2))
    made = Fakes(fakes, np.array([0, 1] * 4), None)
    method = SimpleNamespace(needs=("defect", "surface"))
    described, sheet = gallery(context(real, TRAIN), method, made, None)
    columns = ["defect", "surface", "image", "mask", "real"]
    assert described["columns"] == columns and described["side"] == SIDE
    shown = pictures.cells(sheet, SIDE, len(columns))[:, :, 0, 0, 0]
    dark = shown[: 3 * EACH].tolist()
    # The order of distance is 21, 23, 30, 44, 60, 80; the nearest real image is 20 or 22.
    assert [row[2] for row in dark] == [21, 23, 30, 44, 60, 80]
    assert dark[0] == [50, 7, 21, 255, 20] and dark[5] == [50, 7, 80, 255, 22]
    rows = [row for row in described["rows"] if row["class"] == "dark"]
    assert [row["rank"] for row in rows] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2
    # Real images lie 20, 2 and 2 from each other.
    assert [row["distance"] for row in rows] == [0.5, 0.5, 4.0, 11.0, 19.0, 29.0]
    light = [row for row in described["rows"] if row["class"] == "light"]
    assert len(light) == 3 * EACH and {row["distance"] for row in light} == {None}


def test_a_model_of_noise_without_masks_and_a_class_without_real_images():
    real = records([20, 30], [1, 1])
    made = Fakes(records([21, 201], [1, 2], masks=False), None, None)
    described, sheet = gallery(context(real, TRAIN), SimpleNamespace(needs=("labels",)), made, None)
    assert described["columns"] == ["image", "real"]
    assert {row["class"] for row in described["rows"]} == {"dark"}
    assert pictures.cells(sheet, SIDE, 2).shape[:2] == (3, 2)  # one image, in each rank
    none = gallery(
        context(real.take(np.zeros(0, int)), TRAIN), SimpleNamespace(needs=()), made, None
    )
    assert none == (None, None)


@pytest.mark.parametrize("channels", [1, 3])
def test_masks_have_the_channels_of_images(channels):
    def coloured(found):
        return found._replace(image=found.image.repeat(channels, -1))

    real, train = (coloured(found) for found in (records([20, 30], [1, 1]), TRAIN))
    made = Fakes(coloured(records([21], [1])), None, None)
    _, sheet = gallery(context(real, train), SimpleNamespace(needs=()), made, None)
    assert sheet.shape[-1] == channels
