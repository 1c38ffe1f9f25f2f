#!/usr/bin/env bash
# Package: datumaro 1.13.12 (with opencv-python-headless 4.14.0.94), seen 2026-11-29.
# Expected: of a 16-bit grey PNG or TIFF `Image.from_file(path).data`, of type uint8, is the picture
#   in 8 bit: the high byte, or at least nothing that a brighter pixel shows darker.
# Happens: it is the low byte, so that 255 is followed by 0, and a smooth plate is stripes; nothing
#   is raised or logged. `get_data_as_dtype(numpy.uint16)` gives the values of the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  datumaro==1.13.12 opencv-python-headless==4.14.0.94 pillow==12.3.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import pathlib
import sys

import numpy as np
from datumaro.components.media import Image
from PIL import Image as Pillow

root = pathlib.Path(sys.argv[1])
values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)  # ever brighter

print("datumaro", importlib.metadata.version("datumaro"))
for name in ("plate.png", "plate.tif"):
    Pillow.fromarray(values).save(root / name)
    seen = Image.from_file(path=str(root / name)).data
    darker = int((np.diff(seen.reshape(-1).astype(int)) < 0).sum())
    print(f"{name}: {values.max()} is read as {seen.reshape(-1)[-1]}, {seen.dtype};", end=" ")
    print(f"{darker} of {values.size - 1} brighter pixels are darker than the one before")
    assert seen.dtype == np.uint8, "changed: another type"
    assert np.array_equal(seen, values % 256), "changed: not the low byte"
    whole = Image.from_file(path=str(root / name)).get_data_as_dtype(np.uint16)
    assert np.array_equal(whole, values), "changed: not the values of the file"
PYTHON
