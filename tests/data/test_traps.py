"""Pins that folders that loop, block or lead elsewhere are named, and hold nobody up."""

import os

import numpy as np
import pytest

from dtgan.config import ConfigError
from tests.data.folders import audit_of, make, picture, save, warnings_of

pytestmark = pytest.mark.faults


def test_links_out_of_the_set_are_named_and_not_followed(tmp_path):
    root = make(tmp_path / "set", masks=False)
    save(tmp_path / "other" / "x.png", picture(7))
    (root / "images/crack/x.png").symlink_to(tmp_path / "other/x.png")
    (root / "images/spot").symlink_to(tmp_path / "other")
    (root / "images/crack/lost.png").symlink_to("nowhere.png")
    (root / "images/crack/again.png").symlink_to("c0.png")  # stays in the set
    report = audit_of(root)
    outside = {f.file for f in report.warnings if f.reason == "link out of the set"}
    assert outside == {"images/crack/x.png", "images/spot", "images/crack/lost.png"}
    assert report.classes == ("normal", "crack")
    names = {r.name for r in report.records}
    assert "again.png" in names and "x.png" not in names


@pytest.mark.parametrize("name", ["images", "masks", "splits.csv"])
def test_a_set_whose_own_parts_lie_elsewhere_is_refused(tmp_path, name):
    root, other = make(tmp_path / "set"), tmp_path / "elsewhere"
    if (root / name).exists():
        (root / name).rename(other)
    else:
        other.write_text("file,split\n")
    (root / name).symlink_to(other)
    with pytest.raises(ConfigError, match=rf"{name}: link out of the set: to {other}"):
        audit_of(root)


def test_a_link_to_the_set_itself_is_no_maze(tmp_path):
    root = make(tmp_path, masks=False)
    (root / "images/crack/loop").symlink_to("..")
    (root / "images/crack/all").symlink_to("/")
    assert warnings_of(root) == [
        ("images/crack/loop", "folder in a class folder"),
        ("images/crack/all", "link out of the set"),
    ]


def test_pipes_are_not_opened(tmp_path):
    root = make(tmp_path, masks=False)
    os.mkfifo(root / "images/crack/pipe.png")
    assert warnings_of(root) == [("images/crack/pipe.png", "not a regular file")]
    os.mkfifo(root / "splits.csv")
    with pytest.raises(ConfigError, match=r"splits.csv is not a regular file"):
        audit_of(root)


def test_a_narrow_picture_that_scaling_makes_huge_is_named(tmp_path):
    root = make(tmp_path, masks=False)
    save(root / "images/crack/thread.png", np.zeros((8000, 2), np.uint8))
    (error,) = audit_of(root, res=64).errors  # 64 x 256,000 pixels are above 16 million
    assert (error.file, error.reason) == ("images/crack/thread.png", "too large")
    assert error.detail.startswith("2x8000 pixels become 64x256000") and "cut it" in error.detail
