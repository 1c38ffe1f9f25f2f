"""Labels of a generated set in common formats: COCO, YOLO, MVTec AD."""

import logging

from dtgan.annotations import coco, instances, mvtec, runs, yolo
from dtgan.config import NORMAL
from dtgan.files import sync_all

log = logging.getLogger("dtgan")


def write(out, records, classes, how="parts", with_mvtec=False):
    """Write COCO and YOLO labels, and on request the MVTec tree, of a set below `out`.

    records: of the manifest, in order; their pictures may be of any size and mode, their masks are
    read one at a time. classes: names of the defects, in the order of their labels; how: what an
    instance is, see `instances.split`. Nothing is written for a set whose defects have no masks:
    its defects would be labelled clean.
    """
    defects = [record for record in records if record["class"] != NORMAL]
    if not all("mask" in record for record in defects):
        log.warning("no COCO, YOLO or MVTec labels: the model draws no masks")
        return
    table, written = coco.Table(classes), []
    for record in records:
        found = []
        if "mask" in record:
            found = instances.labelled(record, runs.read(out / record["mask"]), how)
        table.add(record, found)
        written.append(yolo.write(out, record, classes, found))
    sync_all(written)
    table.write(out)
    yolo.write_data(out, classes)
    if with_mvtec:
        mvtec.write(out, records)
