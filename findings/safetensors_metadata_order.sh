#!/usr/bin/env bash
# Package: safetensors 0.8.0 (with numpy 2.4.6), seen 2026-11-29.
# Expected: the same tensors saved with the same metadata give the same bytes, as they do without
#   metadata, so that a digest tells whether a model is the one that was released.
# Happens: with several entries of metadata their order in the header is drawn anew at each save,
#   within one process as well, and the digests differ. One entry, or none, gives equal bytes; so
#   does a single entry that holds all of them as JSON.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import json

import numpy as np
import safetensors
from safetensors.numpy import save

tensors = {"b": np.arange(3.0), "a": np.ones((2, 2))}
entries = {name: name.upper() for name in ("classes", "res", "channels", "mean", "deviation")}


def digests(metadata):
    """The different SHA-256 of twenty saves."""
    return {hashlib.sha256(save(tensors, metadata)).hexdigest() for _ in range(20)}


print("safetensors", safetensors.__version__, "numpy", np.__version__)
several, one = digests(entries), digests({"all": json.dumps(entries)})
print("no metadata:         ", len(digests(None)), "different files of 20")
print("five entries:        ", len(several), "different files of 20")
print("the five as one JSON:", len(one), "different file of 20")
assert len(several) > 1, "changed: the order of metadata is kept"
assert len(one) == len(digests(None)) == 1
PYTHON
