"""Batches: pairs of a defect and a normal image for training, plain records for evaluation.

The training stream is a function of (config.seed, step) alone. Process p of P sees rows p b to
(p + 1) b - 1 of the batch that a single process would see, b being its share: the order in which
the processes' rows make up the global batch.
"""

import functools
import hashlib
import sys

import grain
import numpy as np

from dtgan.config import ConfigError
from dtgan.data import crops, transforms, windows

READS = ("image", "label", "mask", "has_mask", "normal")  # all that a batch can hold


def kinds_of(names):
    """List the kinds of images, "defect" and "normal", that parts of a batch or a request take.

    names: of a batch ("image label mask has_mask" of a defect, "normal") or of a request ("defect
    defect_mask", "surface").
    """
    parts = {
        "defect": {*READS[:-1], "defect", "defect_mask"},
        "normal": {"normal", "surface"},
    }
    return tuple(kind for kind, own in parts.items() if own & set(names))


def images_per_row(reads):
    """Count the images in a row of a batch."""
    return len({"image", "normal"} & set(reads))


def train_iterator(config, source, reads, process_index=0, process_count=1):
    """Make an endless iterator of local batches, b = data.batch_size / process_count rows each.

    Yields what `reads` names of {"image": uint8 [b, H, W, C] defects x1, "label": int32 [b],
    "mask": uint8 [b, H, W, 1], "has_mask": bool [b], "normal": uint8 [b, H, W, C] independent
    normals x2}, all contiguous; with data.resident only where they are, {"defect", "normal"}: int32
    [b, 5] of `transforms.PlacePair`. `get_state()` is a JSON-able dict, `set_state(state)`
    continues exactly there; the state is the same for every number of processes and workers.
    `close()` ends the threads.
    Raises ConfigError where the source lacks what is read, or b is no whole number.
    """
    data, kinds = config.data, kinds_of(reads)
    if data.batch_size % process_count:
        raise ConfigError(
            f"data.batch_size={data.batch_size} is not divisible by {process_count} processes"
        )
    need_kinds(source, kinds)
    normals = np.flatnonzero(source.labels == 0).tolist()
    pairs = grain.experimental.ZipMapDataset(
        [
            _defects(config, source) if "defect" in kinds else _endless((transforms.NONE, ())),
            _shuffled(normals, config.seed, "normals")
            if "normal" in kinds
            else _endless(transforms.NONE),
        ]
    )
    augment = transforms.PlacePair(data) if data.resident else transforms.AugmentPair(data, reads)
    examples = pairs.map(transforms.ReadPair(crops.CachedSource.of(source, config))).random_map(
        augment, seed=stream_seed(config.seed, "augment")
    )
    rows = _ContiguousShards(data.batch_size, process_count)
    examples = grain.MapDataset.select_from_datasets([examples], rows)
    # A few batches ahead suffice; grain's default of 500 batches would fill the memory.
    options = grain.ReadOptions(num_threads=data.workers, prefetch_buffer_size=4 * data.workers)
    shard = grain.sharding.ShardOptions(process_index, process_count)
    return iter(
        grain.experimental.ElasticIterator(examples, data.batch_size, shard, read_options=options)
    )


def go_on(stream, position):
    """Continue a stream of `train_iterator` at a saved position.

    Raises ConfigError for what is no such position: a checkpoint may be a stranger's.
    """
    try:
        stream.set_state(position)
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"the checkpoint is at {position!r} in the data, which is no place in them; use "
            "another checkpoint"
        ) from None


def oversample(counts, at_most):
    """Count images per class after oversampling: 3 times for classes of at most `at_most`.

    The thesis's rule: rare classes also show every image flipped horizontally and vertically.
    """
    return tuple(n * (3 if n <= at_most else 1) for n in counts)


def stream_seed(seed, name):
    """Derive a seed in [0, 2^31) of a stream of random numbers; unrelated for other arguments.

    Not seed + constant, which would make a stream of one training seed another one of the next.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def load_records(config, source, indices):
    """Load records as stacked arrays: scaled, cropped to the window that holds most of the mask.

    Returns {"image": uint8 [n, H, W, C], "label": int32 [n], "mask": uint8 [n, H, W, 1],
    "has_mask": bool [n], "index": int32 [n]} in the order of `indices`. A
    `crops.FixedWindows` has a row for every window of a picture.
    """
    cached, res, channels = (
        crops.CachedSource.of(source, config),
        config.data.res,
        config.data.channels,
    )
    indices = np.asarray(indices, np.int32).reshape(-1)
    out = {
        "image": np.empty((len(indices), res, res, channels), np.uint8),
        "label": np.asarray(source.labels, np.int32)[indices],
        "mask": np.empty((len(indices), res, res, 1), np.uint8),
        "has_mask": np.empty(len(indices), np.bool_),
        "index": indices,
    }
    for row, index in enumerate(indices):
        record = cached[index]
        y, x = windows.best_window(record["mask"], res)
        for name in ("image", "mask"):
            out[name][row] = windows.cut(record[name], y, x, res)
        out["has_mask"][row] = record["has_mask"]
    return out


def eval_pairs(source, num, seed, distinct=False):
    """Choose (defect indices, normal indices), int32 [num] each, from the labels and `seed`.

    Defects go round the classes, normals are drawn independently; images repeat only when all of
    their class were used. Fewer pairs of the same seed are a prefix of more. distinct: no defect
    twice, so that pairs can be taken as independent; there may then be fewer than `num`.
    """
    need_kinds(source, ("defect", "normal"))
    labels = np.asarray(source.labels)
    classes = [c for c in range(1, len(source.classes)) if np.any(labels == c)]
    streams = [_shuffled(np.flatnonzero(labels == c), seed, f"pairs/{c}") for c in classes]
    normals = _shuffled(np.flatnonzero(labels == 0), seed, "pairs/normals")
    rounds = num if not distinct else len(classes) * max(np.bincount(labels)[1:])
    defects = [streams[k % len(streams)][k // len(streams)] for k in range(rounds)]
    if distinct:
        defects = list(dict.fromkeys(defects))[:num]
    drawn = [normals[k] for k in range(len(defects))]
    return np.array(defects, np.int32), np.array(drawn, np.int32)


def batch_spec(config, reads):
    """Describe the GLOBAL batch: {name: array of its shape and dtype, of stride 0: no memory}."""
    data = config.data
    shape = (data.batch_size, data.res, data.res)
    spec = {
        "image": ((*shape, data.channels), np.uint8),
        "label": (shape[:1], np.int32),
        "mask": ((*shape, 1), np.uint8),
        "has_mask": (shape[:1], np.bool_),
        "normal": ((*shape, data.channels), np.uint8),
    }
    return {name: np.broadcast_to(np.zeros((), spec[name][1]), spec[name][0]) for name in reads}


def _defects(config, source):
    """Make an endless dataset of (index, axes to reverse) over the defects, by data.balance."""
    data = config.data
    labels = np.asarray(source.labels)
    groups = [np.flatnonzero(labels == c).tolist() for c in range(1, len(source.classes))]
    groups = [group for group in groups if group]
    if data.balance == "classes":
        per_class = [
            _shuffled([(i, ()) for i in group], config.seed, f"class/{labels[group[0]]}")
            for group in groups
        ]
        rounds = _Rounds(len(groups), stream_seed(config.seed, "rounds"))
        return grain.MapDataset.select_from_datasets(per_class, rounds)
    at_most = data.oversample_at_most if data.balance == "oversample" else 0
    sizes = oversample([len(group) for group in groups], at_most)
    entries = [
        (index, axes)
        for group, size in zip(groups, sizes, strict=True)
        for axes in ((), (1,), (0,))[: size // len(group)]
        for index in group
    ]
    return _shuffled(entries, config.seed, "defects")


class Epochs:
    """Endless random-access source of `entries`: each once an epoch, in another order every epoch.

    In place of grain's shuffle, which walks the cycles of a 16-bit permutation: measured at 4 ms a
    draw from 6 entries and 1 ms from 28, more than all other work on a batch.
    """

    def __init__(self, entries, seed):
        self._entries = entries
        self._seed = seed

    def __len__(self):
        return sys.maxsize

    def __getitem__(self, index):
        epoch, position = divmod(int(index), len(self._entries))
        return self._entries[_permutation(len(self._entries), self._seed, epoch)[position]]


class _Rounds(grain.transforms.DatasetSelectionMap):
    """Selects from n datasets in rounds: each once a round, in another order every round.

    A fixed order (grain's `mix`) would tie the class to the row, and with it to a process.
    """

    def __init__(self, n, seed):
        self._n = n
        self._seed = seed

    def __len__(self):
        return sys.maxsize

    def __getitem__(self, index):
        turn, position = divmod(int(index), self._n)
        return int(_permutation(self._n, self._seed, turn)[position]), turn


class _ContiguousShards(grain.transforms.DatasetSelectionMap):
    """Reorders every global batch so that the iterator's strided shards become contiguous ones.

    Shard p of P reads positions k P + p; they shall hold rows p b + k.
    """

    def __init__(self, batch_size, process_count):
        self._batch, self._count = batch_size, process_count

    def __len__(self):
        return sys.maxsize

    def __getitem__(self, index):
        batch, position = divmod(int(index), self._batch)
        k, p = divmod(position, self._count)
        return 0, batch * self._batch + p * (self._batch // self._count) + k


@functools.lru_cache(maxsize=256)
def _permutation(n, seed, block):
    """Permute range(n), a function of (seed, block); the array must not be written to."""
    return np.random.default_rng((seed, block)).permutation(n)


def _shuffled(entries, seed, name):
    """Make an endless grain dataset of `entries`, shuffled every epoch from its own stream."""
    return grain.MapDataset.source(Epochs(entries, stream_seed(seed, name)))


def _endless(entry):
    """Make an endless grain dataset of one entry."""
    return _shuffled([entry], 0, "")


def need_kinds(source, kinds):
    """Raise ConfigError where a source lacks images of a kind, "defect" or "normal"."""
    normals = int(np.sum(np.asarray(source.labels) == 0))
    found = {"defect": len(source) - normals, "normal": normals}
    if not all(found[kind] for kind in kinds):
        raise ConfigError(
            f"the data hold {found['defect']} defect and {normals} normal images; "
            f"{' and '.join(kinds)} images are needed"
        )
