#!/usr/bin/env bash
# Package: anomalib 2.7.0 (with torch 2.14.1), seen 2026-11-29.
# Expected: in a tree like MVTec AD's the mask of test/scratch/10.png is
#   ground_truth/scratch/10_mask.png, whatever other pictures there are.
# Happens: pictures and masks are paired by their places in two sorted lists. "10.png" sorts after
#   "1.png", "10_mask.png" before "1_mask.png": a tree of ten pictures whose numbers are not padded is
#   refused with MisMatchError, which asks for just these names. Padded numbers are read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  anomalib==2.7.0 torch==2.14.1 torchvision==0.29.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import pathlib
import sys

from anomalib.data.datasets.image.mvtecad import make_mvtec_ad_dataset
from anomalib.data.errors import MisMatchError
from PIL import Image

root = pathlib.Path(sys.argv[1])


def read(case, names):
    """Whether each picture of a tree has its own mask; None where the tree is refused."""
    for name in names:
        for file in (f"test/scratch/{name}.png", f"ground_truth/scratch/{name}_mask.png"):
            (root / case / file).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 255).save(root / case / file)
    try:
        rows = make_mvtec_ad_dataset(root / case, split="test")
    except MisMatchError:
        return None
    pairs = zip(rows.image_path, rows.mask_path, strict=True)
    return all(f"{pathlib.Path(a).stem}_mask" == pathlib.Path(b).stem for a, b in pairs)


print("anomalib", importlib.metadata.version("anomalib"))
answers = {
    "1 to 9": read("nine", [str(k) for k in range(1, 10)]),
    "1 to 10": read("ten", [str(k) for k in range(1, 11)]),
    "01 to 10": read("padded", [f"{k:02}" for k in range(1, 11)]),
}
for names, paired in answers.items():
    print(f"{names:8} {'refused' if paired is None else f'own masks: {paired}'}")
assert answers["1 to 9"] is True and answers["01 to 10"] is True
assert answers["1 to 10"] is None, "changed: names that are not padded are read"
PYTHON
