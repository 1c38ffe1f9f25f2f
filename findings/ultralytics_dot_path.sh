#!/usr/bin/env bash
# Package: ultralytics 8.4.190 (with torch 2.13.0), seen 2026-11-29.
# Expected: `path: .` in a data.yaml, as relative paths in a file mostly are, is the folder of that
#   file, wherever the reader runs.
# Happens: it is the folder in which the reader runs, if that is there, as `.` always is. A set is
#   found from inside its folder alone; from another folder with images/ in it, that folder's images
#   are taken without a word. Without the key `path` the folder of the file is taken.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  ultralytics==8.4.190 torch==2.13.0 torchvision==0.28.0
YOLO_CONFIG_DIR="$folder" "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import pathlib
import sys

import ultralytics
from ultralytics.data.utils import check_det_dataset

root = pathlib.Path(sys.argv[1]).resolve()
for name in ("set", "other"):
    (root / name / "images").mkdir(parents=True)
(root / "empty").mkdir()


def found(key, place):
    """Folder of the training images of root/set, as read from root/place; None: not found."""
    (root / "set" / "data.yaml").write_text(f"{key}train: images\nval: images\nnames: [scratch]\n")
    os.chdir(root / place)
    try:
        data = check_det_dataset(str(root / "set" / "data.yaml"), autodownload=False)
    except FileNotFoundError:
        return None
    return str(pathlib.Path(data["train"]).relative_to(root))


print("ultralytics", ultralytics.__version__)
answers = {}
for key in ("path: .\n", ""):
    answers[key] = [found(key, place) for place in ("set", "other", "empty")]
    print(f"{key.strip() or 'no path':8} from set, other, empty:", *answers[key])
assert answers["path: .\n"] == ["set/images", "other/images", None], "changed: another folder"
assert answers[""] == ["set/images"] * 3
PYTHON
