"""A set of images in folders: images/<class>/* and, where there are any, masks/<class>/*.

The class "normal" is defect-free and has label 0; the others, sorted by name, have 1..K. A mask has
its image's stem and size, any image suffix, and values above 127 where the defect is.
"""

import os
import shlex

import numpy as np

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data.folders import audit
from dtgan.data.folders.scan import check_count
from dtgan.data.source import Source
from dtgan.data.splits import parse_split

_LISTED = 20  # findings in an error message


class FolderSource(Source):
    """Random access to one split, or several joined by "+", of a folder of images.

    path: holds images/<class>/*, and may hold masks/<class>/* and splits.csv (file,split).
    channels: 1 or 3, of the images read. fractions, seed, group: see `audit.audit`.
    skip_bad: go on without the files that the audit rejects; of a picture in two splits the copy
        in train is dropped (or that in val, for one in val and test), so that no test image is
        known from training.

    Attributes: `classes` ("normal" first), `labels` int32 [N], `sizes` int32 [N, 2] (height,
    width), `fingerprint` (16 hex digits of all splits' content), `skipped` (files left out,
    images and masks; an image goes with its bad mask).

    Raises ConfigError where the set cannot be used, or has bad files and `skip_bad` is off.
    """

    def __init__(
        self,
        path,
        split="train",
        channels=1,
        fractions=(0.7, 0.15, 0.15),
        seed=0,
        group="",
        skip_bad=False,
    ):
        wanted = parse_split(split)
        if channels not in (1, 3):
            raise ConfigError(f"data.channels={channels!r} is not 1 (grey) or 3 (RGB)")
        path = os.fspath(path)
        report = audit.audit(path, fractions, seed, group)
        if report.errors:
            if not skip_bad:
                raise ConfigError(_complaint(report, group))
            _check_rest(report)
        self.classes = report.classes
        self.fingerprint = report.fingerprint
        self.skipped = len(report.rejected)
        self._channels, self._has_masks = channels, report.has_masks
        self._records = tuple(r for r in report.records if r.split in wanted)
        self.labels = np.asarray([r.label for r in self._records], np.int32)
        self.sizes = np.asarray([r.size for r in self._records], np.int32).reshape(-1, 2)

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        """Decode one example.

        Returns {"image": uint8 [H, W, C], "mask": uint8 [H, W, 1] of {0, 255}, "has_mask":
        np.bool_, "label": int, "id": "<class>/<filename>"}. In a set with masks a normal image
        has one, which is empty; a defect image without its mask reads has_mask False.
        """
        record = self._records[index]
        image = images.read_image(record.image, self._channels)
        if record.mask is None:
            mask = np.zeros((*image.shape[:2], 1), np.uint8)
        else:
            grey = images.read_image(record.mask, 1)
            mask = np.where(grey > 127, np.uint8(255), np.uint8(0))
        known = record.mask is not None or (record.label == 0 and self._has_masks)
        return {
            "image": image,
            "mask": mask,
            "has_mask": np.bool_(known),
            "label": record.label,
            "id": record.id,
        }


def _complaint(report, group):
    """Format the message of a failed audit: number of files, remedy, first findings."""
    files = len({finding.file for finding in report.errors})
    command = f"python -m dtgan.audit --path={shlex.quote(report.path)}"
    command += f" --group={shlex.quote(group)}" if group else ""
    lines = [
        f"{files} file{'' if files == 1 else 's'} in {report.path} fail{'s' if files == 1 else ''} "
        f"the audit; fix what `{command}` lists, "
        "or go on without them: --config.data.skip_bad=True"
    ]
    lines += [f"  {finding}" for finding in report.errors[:_LISTED]]
    if len(report.errors) > _LISTED:
        lines.append(f"  ... and {len(report.errors) - _LISTED} more")
    return "\n".join(lines)


def _check_rest(report):
    """Raise ConfigError where the files that remain are too few to train on."""
    for name, counts in report.counts.items():
        check_count(name, sum(counts.values()))
    for finding in report.errors:
        if finding.file.endswith("/"):
            raise ConfigError(str(finding))
