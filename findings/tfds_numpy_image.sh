#!/usr/bin/env bash
# Package: tensorflow-datasets 4.9.10 with array_record 0.8.6, without TensorFlow, seen 2026-11-29.
# Expected: a builder that writes array_record, and so never imports TensorFlow, takes the pixels of
#   features.Image as a numpy array, which its documentation names beside a path and a PIL image.
# Happens: of a PIL image, of a file's path and of its bytes the example is written and read back; of
#   an array download_and_prepare raises ModuleNotFoundError, as TensorFlow encodes arrays. Wrap them
#   in PIL.Image.fromarray.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  tensorflow-datasets==4.9.10 array_record==0.8.6 pillow==12.3.0 numpy==2.4.6 \
  importlib_resources==7.1.0
"$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PYTHON' || {
import contextlib
import importlib.metadata
import importlib.util
import io
import pathlib
import sys

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

folder = pathlib.Path(sys.argv[1])
pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)


class Steel(tfds.core.GeneratorBasedBuilder):
    """One gray image, handed over as `image` is."""

    VERSION = tfds.core.Version("1.0.0")
    image = None

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(8, 8, 1))})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": [(0, {"image": self.image})]}

    def _generate_examples(self):
        raise NotImplementedError  # the split above is its own list


def outcome(name, image):
    """Whether the image that is read back is the one that was written; or the error."""
    builder = Steel(data_dir=folder / name, file_format="array_record")
    builder.image = image
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except ModuleNotFoundError as error:
        return f"ModuleNotFoundError: ... {str(error).splitlines()[-1]}"
    (example,) = builder.as_data_source("train")
    return bool((example["image"] == pixels).all())


for package in ("tensorflow-datasets", "array_record"):
    print(package, importlib.metadata.version(package))
assert importlib.util.find_spec("tensorflow") is None
picture = Image.fromarray(pixels[..., 0])
file = io.BytesIO()
picture.save(file, format="png")
(folder / "image.png").write_bytes(file.getvalue())
forms = {
    "PIL image": picture,
    "path": folder / "image.png",
    "bytes": file.getvalue(),
    "array": pixels,
}
found = {name: outcome(name, image) for name, image in forms.items()}
for name, result in found.items():
    print(f"{name}: {result}")
error = found.pop("array")
assert list(found.values()) == [True] * 3
assert "No module named 'tensorflow'" in str(error), "changed: arrays need no TensorFlow"
PYTHON
  tail -n 5 "$folder/log" >&2
  exit 1
}
