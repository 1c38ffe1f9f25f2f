"""Images with what is known of them, as arrays."""

from typing import NamedTuple

import numpy as np


class Records(NamedTuple):
    """N images, of a source or made by a model.

    image: uint8 [N, R, R, C]; label: int32 [N]; mask: uint8 [N, R, R, 1] in {0, 255}, has_mask:
    bool [N], whether it is known; index: int32 [N] in the source (of a synthetic image: of the
    defect it shows; -1 where there is none); ids: a name each, or () where none is needed.
    """

    image: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    has_mask: np.ndarray
    index: np.ndarray
    ids: tuple = ()

    def take(self, rows):
        """Select the rows of a boolean or index array."""
        rows = np.asarray(rows)
        arrays = (array[rows] for array in self[:5])
        kept = np.arange(len(self.label))[rows] if self.ids else ()
        return Records(*arrays, tuple(self.ids[row] for row in kept))

    @property
    def defects(self):
        """The images with a defect."""
        return self.take(self.label > 0)

    @property
    def counts(self):
        """Images by label."""
        return np.bincount(self.label)
