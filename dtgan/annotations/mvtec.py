"""A tree shaped like MVTec AD: train/good, test/<class>, ground_truth/<class>/*_mask.png."""

import os
import shutil

from dtgan.config import NORMAL

FOLDER = "mvtec"


def write(out, records):
    """Link the images and masks of a set below `out` into OUT/mvtec."""
    for record in records:
        name = record["file"].rpartition("/")[2]
        if record["class"] == NORMAL:
            _link(out / record["file"], out / FOLDER / "train" / "good" / name)
            continue
        _link(out / record["file"], out / FOLDER / "test" / record["class"] / name)
        truth = out / FOLDER / "ground_truth" / record["class"]
        _link(out / record["mask"], truth / name.replace(".png", "_mask.png"))


def _link(source, target):
    """Hard-link a file to a second name, or copy it where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
