"""Labels of a generated set in common formats: COCO, YOLO, MVTec AD."""

import logging

from dtgan import images
from dtgan.annotations import coco, mvtec, yolo
from dtgan.config import NORMAL

log = logging.getLogger("dtgan")


def write(out, records, classes, with_mvtec=False):
    """Write COCO and YOLO labels, and on request the MVTec tree, of a set below `out`.

    records: of the manifest, in order; classes: names of the defects, in the order of their labels.
    Nothing is written for a set whose defects have no masks: its defects would be labelled clean.
    """
    defects = [record for record in records if record["class"] != NORMAL]
    if not all("mask" in record for record in defects):
        log.warning("no COCO, YOLO or MVTec labels: the model draws no masks")
        return
    masks = {r["file"]: images.read_image(out / r["mask"], 1)[..., 0] for r in defects}
    coco.write(out, records, classes, masks)
    yolo.write(out, records, classes, masks)
    if with_mvtec:
        mvtec.write(out, records)
