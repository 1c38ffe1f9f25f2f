"""Features of many images over all devices, and the cache that keeps them on disk."""

import functools
import hashlib
import io
import json
import logging
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from dtgan import sharding
from dtgan.files import write_atomic

log = logging.getLogger("dtgan")

DIGEST = hashlib.sha256().digest_size  # the first bytes of a cache entry


class Extractor(NamedTuple):
    """A network that turns images into features.

    name, sha256: of the network and of its weights; both are reported with its numbers.
    resize: how it resizes its input ("tf1", "torch", "clean"), or "none".
    apply: uint8 [B, H, W, C] -> {name: float32 [B, ...]}; pure, jittable.
    """

    name: str
    sha256: str
    resize: str
    apply: Callable


def extract(extractor, images, mesh, batch_size=0):
    """Extract features {name: float32 [N, ...]} of uint8 images [N, H, W, C].

    Batches of one size, the last padded, are split over the devices of `mesh`: the result does not
    depend on batch_size or the number of devices beyond float32 rounding. batch_size 0 chooses one
    that suits the hardware: caches of a CPU hold the maps of 8 images of Inception, not of 32.
    """
    batch_size = batch_size or (8 if mesh.devices.flat[0].platform == "cpu" else 64)
    program = _compiled(extractor.apply, mesh)
    parts = list(sharding.map_rows(program, {"images": images}, mesh, batch_size))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@functools.lru_cache(maxsize=8)
def _compiled(apply, mesh):
    rows = sharding.split(mesh)
    return jax.jit(lambda x: apply(x["images"]), in_shardings=rows, out_shardings=rows)


class Cache:
    """Arrays on disk, keyed by a description; a damaged entry is computed again."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def get(self, what, compute):
        """Return {name: array} for the JSON-able description `what`, from disk or compute()."""
        path = self.path(what)
        if path.exists():
            data = path.read_bytes()
            if data[:DIGEST] == hashlib.sha256(data[DIGEST:]).digest():
                with np.load(io.BytesIO(data[DIGEST:]), allow_pickle=False) as file:
                    return dict(file)
            log.warning("cache entry %s is damaged: computed again", path.name)
        arrays, file = compute(), io.BytesIO()
        np.savez(file, **arrays)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, hashlib.sha256(file.getbuffer()).digest() + file.getvalue())
        return arrays

    def path(self, what):
        """Return the file of an entry; every difference in `what` is another file."""
        text = json.dumps(what, sort_keys=True)
        return self.directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.cache"
