"""Labels of a generated set in common formats: COCO, YOLO, MVTec AD."""

import logging

from dtgan import images
from dtgan.annotations import coco, instances, mvtec, yolo
from dtgan.config import NORMAL

log = logging.getLogger("dtgan")


def write(out, records, classes, how="parts", with_mvtec=False):
    """Write COCO and YOLO labels, and on request the MVTec tree, of a set below `out`.

    records: of the manifest, in order; classes: names of the defects, in the order of their labels;
    how: what an instance is, see `instances.split`. Nothing is written for a set whose defects have
    no masks: its defects would be labelled clean.
    """
    defects = [record for record in records if record["class"] != NORMAL]
    if not all("mask" in record for record in defects):
        log.warning("no COCO, YOLO or MVTec labels: the model draws no masks")
        return

    def parts(record):  # read anew by each writer: of a large set they fill the memory
        if "mask" not in record:
            return []
        return instances.split(images.read_image(out / record["mask"], 1)[..., 0], how)

    coco.write(out, records, classes, parts)
    yolo.write(out, records, classes, parts)
    if with_mvtec:
        mvtec.write(out, records)
