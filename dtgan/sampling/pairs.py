"""Fixed pairs of a defect and a surface, with the truth where a source knows it."""

import numpy as np

from dtgan.data import crops, pipeline
from dtgan.data.source import knows_truth


class Pairs:
    """Fixed pairs (x1, x2) of a source, in batches of one size (distinct: of at most that size).

    Where the source knows them, each batch holds the true transfer of x1's defect to x2 ("truth")
    and x1 without its defect ("clean") as uint8 images; else None.
    """

    def __init__(self, config, source, num, batch_size, seed=0, distinct=False):
        self.batch_size = batch_size
        self._config, self._source = config, source
        self._cached = crops.CachedSource.of(source, config)
        if not distinct:
            num = -(-num // batch_size) * batch_size
        self._i, self._j = pipeline.eval_pairs(source, num, seed, distinct)

    def __iter__(self):
        """Yield batch_size rows: image, normal, label, mask, has_mask, index, truth, clean."""
        for start in range(0, len(self._i), self.batch_size):
            i = self._i[start : start + self.batch_size]
            j = self._j[start : start + self.batch_size]
            x1 = pipeline.load_records(self._config, self._cached, i)
            x2 = pipeline.load_records(self._config, self._cached, j)
            yield {**x1, "normal": x2["image"], **self._exact(i, j)}

    def _exact(self, i, j):
        """Render truth and clean; None where unknown, or where crops shift the positions."""
        source = self._source
        if not knows_truth(source, self._config.data.res):
            return {"truth": None, "clean": None}
        return {
            "truth": np.stack([source.transfer(a, b)[0] for a, b in zip(i, j, strict=True)]),
            "clean": np.stack([source.clean(a) for a in i]),
        }
