"""The synthetic images that are judged: defects of the training split on its normal surfaces."""

import time

import numpy as np

from dtgan import images
from dtgan.data import pipeline
from dtgan.evaluation.context import CHUNK, Images

BATCH = 16  # pairs drawn at once; every draw of a batch has its own noise


def draw(sampler, request, seed, name):
    """`infer`'s arrays for any number of pairs: images uint8, "mask" float32 in 0..1.

    The noise is a function of (seed, name, position).
    """
    rows, parts = len(request["image"]), []
    for start in range(0, rows, BATCH):
        batch = {key: array[start : start + BATCH] for key, array in request.items()}
        drawn = sampler(batch, pipeline.stream_seed(seed, f"{name}/{start}"))
        quantised = {
            key: value if key == "mask" else images.to_uint8(value) for key, value in drawn.items()
        }
        parts.append(quantised)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def synthesise(bench, sampler, digest, cache):
    """(Images of `num_fake` hybrids x3, x2's indices, images/s or None if all were cached).

    The hybrids have the class of their defect x1, in equal numbers, x1's index and their own mask.
    They are drawn in chunks that a killed job finds again in `cache`.
    """
    config, seed = bench.config, bench.settings.seed
    source, records = bench.sources[config.data.split], bench.train
    i, j = pipeline.eval_pairs(config, source, bench.settings.num_fake, seed)
    parts, drawn_now, seconds = [], 0, 0.0
    for start in range(0, len(i), CHUNK):
        rows = slice(start, start + CHUNK)
        request = {"image": records.image[i[rows]], "normal": records.image[j[rows]]}

        def compute(request=request, start=start):
            nonlocal drawn_now, seconds
            began = time.monotonic()
            drawn = draw(sampler, request, seed, f"fakes/{start}")
            drawn_now, seconds = drawn_now + len(drawn["image"]), seconds + time.monotonic() - began
            return {"image": drawn["image"], "mask": images.to_uint8(2.0 * drawn["mask"] - 1.0)}

        size = len(request["image"])
        what = {"checkpoint": digest, "data": bench.fingerprint, "rows": [start, size, seed]}
        parts.append(cache.get(what, compute))
    hybrids = Images(
        image=np.concatenate([part["image"] for part in parts]),
        mask=np.concatenate([part["mask"] for part in parts]),
        has_mask=np.ones(len(i), bool),
        label=records.label[i],
        index=i,
    )
    return hybrids, j, drawn_now / seconds if seconds else None
