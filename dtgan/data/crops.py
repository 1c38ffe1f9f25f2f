"""Scaled records in memory, and the fixed crops of pictures: views on sources."""

import threading

import numpy as np

from dtgan.data import transforms, windows
from dtgan.data.source import View, knows_truth


class CachedSource:
    """A source of scaled records, kept decoded in host memory up to config.data.cache_mb.

    What does not fit is decoded every time: under uniform access, evicting would gain nothing.
    Safe to read from several threads. Indexing returns shared arrays: do not write to them.
    """

    def __init__(self, source, config):
        self._source = source
        self._data = config.data.copy_and_resolve_references()
        self._free = config.data.cache_mb * 2**20
        self._records = {}
        self._lock = threading.Lock()
        self.classes = source.classes
        self.labels = source.labels
        self.sizes = source.sizes
        self.fingerprint = source.fingerprint

    @classmethod
    def of(cls, source, config):
        """Cache `source`; return it where it is a CachedSource already, to share one cache."""
        return source if isinstance(source, cls) else cls(source, config)

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        index = int(index)
        record = self._records.get(index)
        if record is None:
            record = self._source[index]
            if not self._source.cropped:
                record = transforms.scale_record(record, self._data)
            record = self._keep(index, record)
        if record["mask"] is None:
            shape = (*record["image"].shape[:2], 1)
            record = {**record, "mask": np.broadcast_to(np.uint8(0), shape)}
        return record

    def _keep(self, index, record):
        """Store the record if it fits, an empty mask as None; return what was or would be kept."""
        if not record["mask"].any():
            known = record["has_mask"] and not record["label"]  # a defect's mask that marks nothing
            record = {**record, "mask": None, "has_mask": np.bool_(known)}
        size = sum(record[name].nbytes for name in ("image", "mask") if record[name] is not None)
        with self._lock:
            if index not in self._records and size <= self._free:
                self._free -= size
                self._records[index] = record
        return record


class FixedWindows(View):
    """The fixed crops of a source, as a source of res x res records.

    A picture has a row for every window of `windows.fixed_windows`: several where parts of its
    defect lie far apart. One without a defect has, with data.scale, those of
    `windows.grid_windows`, else its centre. `pictures` int32 [N] numbers the picture of each row;
    the ids of the further ones end in "#1", "#2", ....; windows of one picture are of one of
    `groups`.
    """

    cropped = True

    def __init__(self, source, config):
        self._source, self._data = source, config.data.copy_and_resolve_references()
        places = [
            (row, number, y, x)
            for row in range(len(source))
            for number, (y, x, _) in enumerate(source.shown(row, self._data).windows)
        ]
        self.pictures, self._numbers, *self._corners = np.array(places, np.int32).reshape(-1, 4).T
        self.classes, self.fingerprint = source.classes, source.fingerprint
        self.labels = np.asarray(source.labels, np.int32)[self.pictures]
        self.sizes = np.full((len(places), 2), config.data.res, np.int32)
        parts = source.groups
        self.groups = self.pictures if parts is None else parts[self.pictures]
        self.skipped, self.has_truth = source.skipped, knows_truth(source, config.data.res)
        self._last = None, None  # a picture and its scaled record: its crops are read in turn

    @property
    def families(self):
        families = self._source.families
        return None if families is None else families[self.pictures]

    def resolve(self, index):
        return self._source.resolve(self.pictures[index])

    def borders(self, index):
        """Tell which sides of a crop are its picture's: bool (top, bottom, left, right)."""
        pairs = [(at == 0, at == last) for at, last in self._starts(index)]
        return np.array(pairs).reshape(4)

    def place(self, index):
        """Tell where in its picture a crop lies: (y, x), 0 at the first pixel, 1 at the last."""
        return tuple(at / last if last else 0.5 for at, last in self._starts(index))

    def _starts(self, index):
        """List for y and x: the start of a crop in its scaled picture, and the last that fits."""
        size, _ = windows.scaled_size(self._source.sizes[self.pictures[index]], self._data)
        starts = [int(corners[index]) for corners in self._corners]
        return [(at, side - self._data.res) for at, side in zip(starts, size, strict=True)]

    def window(self, index):
        """Tell where a crop lies: (height, width) of its picture in the file, (y, x) if scaled."""
        size = self._source.sizes[self.pictures[index]]
        return tuple(map(int, size)), tuple(int(starts[index]) for starts in self._corners)

    def _scaled(self, picture):
        """Read and scale a picture, once for crops that are read in turn."""
        last, record = self._last
        if last != picture:
            record = transforms.scale_record(self._source[picture], self._data)
            self._last = picture, record
        return record

    def __getitem__(self, index):
        record = self._scaled(int(self.pictures[index]))
        number, (y, x) = self._numbers[index], (starts[index] for starts in self._corners)
        res, names = self._data.res, ("image", "mask")
        parts = {name: windows.cut(record[name], y, x, res).copy() for name in names}
        known = record["has_mask"] and (parts["mask"].any() or not record["label"])
        return {
            **record,
            **parts,
            "has_mask": np.bool_(known),
            "id": record["id"] + _ending(number),
        }

    def id(self, index):
        return super().id(index) + _ending(self._numbers[index])


def _ending(number):
    """Write what the id of a picture's crop ends in."""
    return f"#{number}" if number else ""
