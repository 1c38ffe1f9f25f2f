"""A small data set in device memory: crops and flips are made where the images are needed.

The host draws where to crop (data.pipeline with data.resident), in the same order and from the same
random numbers as if it cut the pixels itself, so batches are the same to the bit and runs resume
the same way.
"""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import sharding
from dtgan.config import ConfigError
from dtgan.data import crops, pipeline
from dtgan.data.windows import scaled_size

log = logging.getLogger("dtgan")


class Resident:
    """All scaled images of a source, replicated on every device of the mesh.

    Calling it with this process's rows of `pipeline.train_iterator` gives the global batch.
    Raises ConfigError where the images differ in size, or take over half of a device's memory,
    before one is read.
    """

    def __init__(self, config, source, reads, mesh):
        self._mesh, self._res, self._reads = mesh, config.data.res, tuple(reads)
        kinds, labels = pipeline.kinds_of(reads), np.asarray(source.labels)
        defects = np.flatnonzero((labels > 0) & ("defect" in kinds))
        normals = np.flatnonzero((labels == 0) & ("normal" in kinds))
        rows = np.concatenate([defects, normals])
        _check(config.data, source.sizes[rows], len(defects))
        cached = crops.CachedSource.of(source, config)
        marked, store = [cached[k] for k in defects], {}
        if marked:
            store |= {
                "image": np.stack([record["image"] for record in marked]),
                "mask": np.stack([record["mask"] for record in marked]),
                "label": labels[defects].astype(np.int32),
                "has_mask": np.array([record["has_mask"] for record in marked]),
            }
        if len(normals):
            store["normal"] = np.stack([cached[k]["image"] for k in normals])
        self._row = np.empty(len(labels), np.int32)  # among the defects, or among the normals
        self._row[defects], self._row[normals] = np.arange(len(defects)), np.arange(len(normals))
        size = sum(array.nbytes for array in store.values())
        log.info("data.resident: %.0f MB of images in the memory of every device", size / 1e6)
        whole, split = sharding.replicated(mesh), sharding.split(mesh)
        self._store = {
            name: jax.make_array_from_process_local_data(whole, array)
            for name, array in store.items()
        }
        self._cut = jax.jit(self._batch, in_shardings=(whole, split), out_shardings=split)

    def __call__(self, places):
        """Cut the batch at places {"defect", "normal"}: int32 [b, 5] (transforms.PlacePair)."""
        rows = {}
        for name, place in places.items():
            rows[name] = np.concatenate([self._row[place[:, :1]], place[:, 1:]], axis=1)
        return self._cut(self._store, sharding.put_batch(rows, self._mesh))

    def _batch(self, store, places):
        cut, batch = jax.vmap(self._crop, in_axes=(None, 0)), {}
        for name in self._reads:
            place = places["normal" if name == "normal" else "defect"]
            whole = name in ("label", "has_mask")
            batch[name] = store[name][place[:, 0]] if whole else cut(store[name], place)
        return batch

    def _crop(self, images, place):
        """Cut uint8 [res, res, C] out of images [N, H, W, C] at a place int32 [5]."""
        row, y, x, *reverse = place
        size = (1, self._res, self._res, images.shape[-1])
        out = jax.lax.dynamic_slice(images, (row, y, x, 0), size)[0]
        for axis in (0, 1):
            out = jnp.where(reverse[axis] > 0, jnp.flip(out, axis), out)
        return out


def _check(data, sizes, num_defects):
    """Raise ConfigError where scaled `sizes` [N, 2] differ or exceed half of a device's memory."""
    scaled = sorted({scaled_size(size, data)[0] for size in np.unique(sizes, axis=0)})
    if len(scaled) > 1:
        found = " and ".join(f"{height}x{width}" for height, width in (scaled[0], scaled[-1]))
        raise ConfigError(
            f"data.resident needs images of one size, after scaling there are {found} pixels; use "
            "--config.data.resident=False"
        )
    ((height, width),) = scaled
    size = height * width * (len(sizes) * data.channels + num_defects)  # a mask a defect
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit and size > limit / 2:
        raise ConfigError(
            f"data.resident: the images take {size / 1e9:.1f} GB, more than half of a device's "
            f"{limit / 1e9:.1f} GB; use --config.data.resident=False"
        )
