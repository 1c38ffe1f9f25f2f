"""The synthetic images that are judged."""

import time
from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.data import pipeline
from dtgan.data.records import Records
from dtgan.evaluation.context import CHUNK
from dtgan.progress import track
from dtgan.sampling import requests

BATCH = 16  # images rendered at once


class Fakes(NamedTuple):
    """Synthetic images and where they come from.

    records: Records; has_mask tells whether the model makes masks. surfaces: int [N], the index of
    the surface of each in the training split, None where the model needs none. rate: images/s, None
    if all were cached.
    """

    records: Records
    surfaces: np.ndarray | None
    rate: float | None


def render(sampler, request, seed, name, num=None, outputs=None):
    """Render any number of rows of a request: images uint8, "mask" float32 in 0..1.

    The noise of a row is a function of (seed, name, position). num: of rows, where the request is
    empty; outputs: names of `Method.gives`, by default all that the request allows.
    """
    rows, parts = len(next(iter(request.values()))) if request else num, []
    stream = pipeline.stream_seed(seed, name)
    for start in range(0, rows, BATCH):
        numbers = np.arange(start, min(start + BATCH, rows))
        batch = {key: array[start : start + BATCH] for key, array in request.items()}
        quantised = {
            key: value if key == "mask" else images.to_uint8(value)
            for key, value in sampler(batch, stream, numbers, outputs, BATCH).items()
        }
        parts.append(quantised)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def synthesise(context, sampler, digest, cache):
    """Render `num_fake` synthetic images as Fakes, in equal numbers of every class.

    A model that needs defect images gets those of the training split, and its images carry their
    index and class; one that needs surfaces gets the normals of that split. Images are rendered in
    chunks that a killed job finds again in `cache`.
    """
    method, seed = sampler.method, context.settings.seed
    i, j, label = _sources(context, method)
    outputs = [name for name in ("image", "mask") if name in method.gives]
    records, parts, drawn_now, seconds = context.train, [], 0, 0.0
    with track("drawing", len(label), "images") as done:
        for start in range(0, len(label), CHUNK):
            rows = slice(start, start + CHUNK)
            batch = {"label": label[rows]}
            if i is not None:
                batch |= {"image": records.image[i[rows]], "mask": records.mask[i[rows]]}
            if j is not None:
                batch["normal"] = records.image[j[rows]]
            request = requests.of_pairs(method.needs, context.classes, batch)
            size = len(batch["label"])

            def compute(request=request, start=start, size=size):
                nonlocal drawn_now, seconds
                began = time.monotonic()
                drawn = render(sampler, request, seed, f"fakes/{start}", size, outputs)
                drawn_now, seconds = drawn_now + size, seconds + time.monotonic() - began
                kept = {"image": drawn["image"]}
                if "mask" in drawn:
                    kept["mask"] = images.to_uint8(2.0 * drawn["mask"] - 1.0)
                return kept

            what = {"checkpoint": digest, "data": context.fingerprint, "rows": [start, size, seed]}
            parts.append(cache.get(what, compute))
            done(size)
    image = np.concatenate([part["image"] for part in parts])
    masks = "mask" in method.gives
    made = Records(
        image=image,
        label=label,
        mask=np.concatenate([part["mask"] for part in parts])
        if masks
        else np.zeros((*image.shape[:3], 1), np.uint8),
        has_mask=np.full(len(label), masks),
        index=np.full(len(label), -1, np.int32) if i is None else i,
    )
    return Fakes(made, j, drawn_now / seconds if seconds else None)


def _sources(context, method):
    """Choose the inputs: (defect indices or None, surface indices or None, labels)."""
    number, seed = context.settings.num_fake, context.settings.seed
    kinds = pipeline.kinds_of(method.needs)
    defects = len(context.classes) - 1
    if "defect" in kinds:
        source = context.sources[context.config.data.split]
        i, j = pipeline.eval_pairs(source, number, seed)
        return i, j if "normal" in kinds else None, context.train.label[i]
    label, j = (1 + np.arange(number) % defects).astype(np.int32), None
    if "normal" in kinds:
        normals = np.flatnonzero(context.train.label == 0)
        rng = np.random.default_rng(pipeline.stream_seed(seed, "fakes/surfaces"))
        j = rng.choice(normals, number).astype(np.int32)
    return None, j, label
