"""Pins the account of a data set: what is counted, told and refused."""

import json

import numpy as np
import pytest

from dtgan.config import ConfigError, base_config
from dtgan.data import account, windows
from dtgan.data.source import Source


class Pictures(Source):
    """Pictures of two classes with given masks, None where there is none."""

    fingerprint = "0" * 16

    def __init__(self, masks, sizes, classes=("normal", "pit")):
        self.classes, self._masks = classes, masks
        self.labels = np.ones(len(masks), np.int32)
        self.sizes = np.array(sizes, np.int32)

    def shown(self, index, data):
        mask = self._masks[index]
        size = tuple(self.sizes[index])
        return windows.untouched(size, data) if mask is None else windows.shown(mask, data)


def data_of(**fields):
    config = base_config()
    config.data.update(fields)
    return config.data


def box(shape, *boxes):
    mask = np.zeros((*shape, 1), np.uint8)
    for y, x, h, w in boxes:
        mask[y : y + h, x : x + w] = 255
    return mask


def test_what_is_counted():
    masks = [box((64, 640), (20, 10, 8, 8), (20, 600, 8, 8)), box((64, 640), (0, 0, 32, 640)), None]
    source = Pictures(masks, [(64, 640)] * 3)
    (part,) = account.account(source, data_of(res=32)).values()
    assert part["pictures"] == 3 and part["with_mask"] == 2 and part["crops"] == 4
    assert part["pixels_in_file"] == 128 + 32 * 640
    assert part["pixels_scaled"] == 2 * 16 + 16 * 320
    assert part["pixels_in_crops"] == 2 * 16 + 16 * 32
    assert part["largest"] == 10.0 and part["lost"] == 0
    json.dumps(part)


def test_what_is_told():
    line, thin = box((128, 128), (60, 10, 1, 100)), data_of(res=32)
    told = account.tell({"train": Pictures([line], [(128, 128)])}, thin)
    assert told["findings"] == [
        "train: pit: the thinnest defect is 0.25 pixels wide at data.res=32; from data.res=128 on "
        "it is one"
    ]
    (told,) = account.tell({"a": Pictures([line], [(128, 128)])}, data_of(res=32, scale=0.25))[
        "findings"
    ]
    assert told.endswith("0.25 pixels wide at data.scale=0.25; from data.scale=1 on it is one")
    far = box((64, 640), (20, 10, 8, 8), (20, 600, 8, 8))
    (told,) = account.tell({"val": Pictures([far], [(64, 640)])}, thin)["findings"]
    assert told.startswith("val: pit: 1 pictures give 2 fixed crops")
    (told,) = account.tell({"val": Pictures([None], [(512, 8000)])}, thin)["findings"]
    assert "up to 16 crops of 32 px" in told
    wide = box((64, 640), (0, 0, 64, 640))
    (told,) = account.tell({"val": Pictures([wide], [(64, 640)])}, thin)["findings"]
    assert "leave 90 % of the defect outside" in told
    assert account.tell({"val": Pictures([None], [(32, 32)])}, thin)["findings"] == []


def test_a_class_that_nothing_shows_is_refused():
    class Lost(Pictures):
        def shown(self, index, data):
            return windows.Shown(9, 0, 0, 0.1, ((0, 0, 0),))

    with pytest.raises(ConfigError, match=r"none of the 2 pictures of class 'pit' in train shows"):
        account.tell({"train": Lost([None] * 2, [(64, 64)] * 2)}, data_of(res=32))


def test_the_warnings_of_the_audit_are_told_once_by_kind():
    source = Pictures([None], [(32, 32)])
    source.warnings = ("images/pit/a.png: no mask", "images/pit/b.png: no mask: reads so")
    told = account.tell({"train": source, "val": source}, data_of(res=32, path="my set"))
    (line,) = told["findings"]
    assert line.startswith("the audit warns: 2 x no mask; ") and "--path='my set'" in line
    assert told["audit"] == list(source.warnings)


class Masked(list):
    """Records of defects, some of which have masks."""

    labels = np.array([0, 1, 1, 2])

    def __init__(self, *has):
        super().__init__({"has_mask": there} for there in (False, *has))


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(account.log, "propagate", True)
    caplog.set_level("WARNING", "dtgan")
    return caplog


def test_images_without_masks_are_counted(told):
    account.tell_masks(Masked(True, False, True), "somebody")
    assert told.messages == ["1 of 3 defect images have no mask: masks are learnt of the others"]
    told.clear()
    account.tell_masks(Masked(True, True, True), "somebody")
    assert not told.messages
    with pytest.raises(
        ConfigError, match="none of the 3 defect images has a mask, and method=some"
    ):
        account.tell_masks(Masked(False, False, False), "somebody")


def test_classes_of_one_picture_are_told(told):
    account.tell_single({"normal": 1, "pit": 2, "dent": 1})
    (line,) = told.messages
    assert line.startswith("dent: one picture")
