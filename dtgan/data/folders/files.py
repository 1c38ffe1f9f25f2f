"""Random access to examined files: how every source of folders reads its images and masks."""

import numpy as np

from dtgan import images
from dtgan.config import NORMAL, ConfigError
from dtgan.data import windows
from dtgan.data.folders import assign, masks
from dtgan.data.folders.shapes import Annotated
from dtgan.data.source import Source


class FileSource(Source):
    """Random access to the files of some `scan.Record`s, read as `data` (config.data) says.

    ids: of the records; by default their own. classes: of all records, "normal" first. has_masks:
    whether the set holds any mask. fingerprint: 16 hex digits of its content.
    """

    def __init__(self, records, classes, data, has_masks, fingerprint, ids=()):
        self._records, self._data = tuple(records), data.copy_and_resolve_references()
        self._ids = tuple(ids) or tuple(record.id for record in self._records)
        self._has_masks = has_masks
        self.classes, self.fingerprint = tuple(classes), fingerprint
        self.groups = assign.groups_of(self._records, data.group)
        self.labels = np.asarray([r.label for r in self._records], np.int32)
        self.sizes = np.asarray([r.size for r in self._records], np.int32).reshape(-1, 2)

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        """Decode one example.

        Returns {"image": uint8 [H, W, C], "mask": uint8 [H, W, 1] of {0, 255}, "has_mask":
        np.bool_, "label": int, "id": str}. In a set with masks a normal image
        has one, which is empty; a defect image without its mask reads has_mask False, and its mask
        is then empty, or marks boxes that hold the defect. Raises ConfigError for a file that
        changed since it was examined.
        """
        record, data = self._records[index], self._data
        try:
            limits = data.max_megapixels, data.max_compression
            image = images.read_image(record.image, data.channels, data.range, *limits)
            mask = np.zeros((*image.shape[:2], 1), np.uint8)
            if record.mask is not None and record.class_name != NORMAL:
                mask[self._marked(record)] = 255
        except Exception as error:  # decoders raise errors of any type on broken bytes
            raise ConfigError(
                f"{record.image} or its mask cannot be read any more ({error}); restore it"
            ) from None
        known = record.mask is not None and not record.boxed
        known |= record.label == 0 and self._has_masks
        return {
            "image": image,
            "mask": mask,
            "has_mask": np.bool_(known),
            "label": record.label,
            "id": self._ids[index],
        }

    def id(self, index):
        return self._ids[index]

    def picture(self, index):
        data = self._data
        limits = data.max_megapixels, data.max_compression
        return images.decode(self._records[index].image, *limits)

    def shown(self, index, data):
        record = self._records[index]
        if not record.label:
            return windows.of_normal(record.size, data)
        if not record.shown:
            return windows.untouched(record.size, data)
        if all(data[name] == self._data[name] for name in ("res", "scale", "scale_to")):
            return record.shown  # was measured when the files were examined
        return super().shown(index, data)._replace(boxed=record.boxed)

    def _marked(self, record):
        """Read where the defect of a record is: bool [H, W]."""
        if isinstance(record.mask, Annotated):
            parts, faults = record.mask.read(record.size)
            if faults:
                raise ValueError(faults[0][1])
            return parts[record.class_name].pixels
        found = masks.parts(masks.read_mask(record.mask, self._data), self._data)
        return found[record.class_name if self._data.mask_values else ""]
