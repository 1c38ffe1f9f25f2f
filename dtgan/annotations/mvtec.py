"""A tree shaped like MVTec AD: train/good, test/good, test/<class>, ground_truth/<class>.

A detector is tested on surfaces that it was not trained on. So the pictures of the surfaces are
dealt out, in the order in which hybrids first use them, in turn to test/good and to train/good, and
a hybrid on one of the latter is left out of the tree: about half of each class.
"""

import logging
import os
import shutil

from dtgan.config import NORMAL
from dtgan.data.names import picture_of

FOLDER = "mvtec"
GOOD = "good"  # the tree's name of what has no defect

log = logging.getLogger("dtgan")


def write(out, records):
    """Link the images and masks of a set below `out` into OUT/mvtec.

    records: of the manifest, in order. A hybrid that stands on no known surface goes to the test.
    """
    used = dict.fromkeys(_surface(r) for r in records if "surface_index" in r)
    trained, left = set(list(used)[1::2]), 0
    for record in records:
        name = record["file"].rpartition("/")[2]
        in_train = _surface(record) in trained
        if record["class"] == NORMAL:
            part = "train" if in_train else "test"
            _link(out / record["file"], out / FOLDER / part / GOOD / name)
        elif in_train:
            left += 1
        else:
            _link(out / record["file"], out / FOLDER / "test" / record["class"] / name)
            truth = out / FOLDER / "ground_truth" / record["class"]
            _link(out / record["mask"], truth / name.replace(".png", "_mask.png"))
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


def _link(source, target):
    """Hard-link a file to a second name, or copy it where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
