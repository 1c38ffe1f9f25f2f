"""A tree shaped like MVTec AD: train/good, test/good, test/<class>, ground_truth/<class>.

Its readers look for PNG files alone, so that pictures of other formats are written as such.

A detector is tested on surfaces that it was not trained on. So the pictures of the surfaces are
dealt out, in the order in which hybrids first use them, in turn to test/good and to train/good, and
a hybrid on one of the latter is left out of the tree: about half of each class.
"""

import logging
import math
import os
import pathlib
import shutil

from dtgan import images
from dtgan.config import NORMAL
from dtgan.data.names import picture_of

FOLDER = "mvtec"
GOOD = "good"  # the tree's name of what has no defect

log = logging.getLogger("dtgan")


def write(out, records):
    """Put the images and masks of a set below `out` into OUT/mvtec.

    records: of the manifest, in order. A hybrid that stands on no known surface goes to the test.
    """
    used = dict.fromkeys(_surface(r) for r in records if "surface_index" in r)
    trained, left = set(list(used)[1::2]), 0
    for record in records:
        name = pathlib.PurePath(record["file"]).stem
        in_train = _surface(record) in trained
        if record["class"] == NORMAL:
            part = "train" if in_train else "test"
            _put(out / record["file"], out / FOLDER / part / GOOD / f"{name}.png")
        elif in_train:
            left += 1
        else:
            _put(out / record["file"], out / FOLDER / "test" / record["class"] / f"{name}.png")
            truth = out / FOLDER / "ground_truth" / record["class"]
            _put(out / record["mask"], truth / f"{name}_mask.png")
    log.info(
        "%s: %d surfaces in train/good, %d in test/good; left out are %d hybrids on the former",
        out / FOLDER,
        len(trained),
        len(used) - len(trained),
        left,
    )


def _surface(record):
    """Name the picture of which a record's surface is a crop; None where there is none."""
    name = record.get("surface", record.get("surface_index"))
    return None if name is None else picture_of(str(name))


def _put(source, target):
    """Put a picture into the tree: a second name of a PNG file, or the same pixels as one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if source.suffix.lower() != ".png":
        images.decode(source, math.inf, math.inf).image.save(target)
        return
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        shutil.copyfile(source, target)
