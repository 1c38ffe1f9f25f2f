#!/usr/bin/env bash
# Package: datumaro 1.13.12, seen 2026-11-29.
# Expected: a COCO file annotations/instances.json is recognised; and where the `file_name` of an
#   image leads to no file, the reader says so.
# Happens: without a subset in its name (instances_train.json) the file is not recognised. Names are
#   relative to images/: with "images/a.png" in place of "a.png" all annotations are read, on images
#   that have a size and not a pixel, and nothing is raised or logged.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datumaro==1.13.12
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import json
import pathlib
import sys

import datumaro
from datumaro.components.errors import DatasetNotFoundError
from PIL import Image


def read(case, file, name):
    """(annotations, images with pixels) of a set of one image; None: not recognised."""
    root = pathlib.Path(sys.argv[1]) / case
    for part in ("annotations", "images"):
        (root / part).mkdir(parents=True)
    Image.new("L", (8, 8), 90).save(root / "images" / "a.png")
    box = {"bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": name, "width": 8, "height": 8}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **box}],
        "categories": [{"id": 1, "name": "scratch"}],
    }
    (root / "annotations" / file).write_text(json.dumps(content))
    try:
        items = list(datumaro.Dataset.import_from(str(root), "coco_instances"))
    except DatasetNotFoundError:
        return None
    pixels = sum(item.media is not None and item.media.data is not None for item in items)
    return sum(len(item.annotations) for item in items), pixels


print("datumaro", importlib.metadata.version("datumaro"))
plain = read("plain", "instances_train.json", "a.png")
nameless = read("nameless", "instances.json", "a.png")
prefixed = read("prefixed", "instances_train.json", "images/a.png")
print("instances_train.json, a.png:        (annotations, images with pixels)", plain)
print("instances.json, a.png:             ", nameless)
print("instances_train.json, images/a.png:", prefixed)
assert plain == (1, 1)
assert nameless is None, "changed: instances.json is recognised"
assert prefixed == (1, 0), "changed: the missing image is found, or told"
PYTHON
