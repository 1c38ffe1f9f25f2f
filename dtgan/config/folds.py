"""The fold of a data set that a run works from: "k/K"."""

import re

from dtgan.config.errors import ConfigError
from dtgan.config.schema import FILE_SOURCES


def parse_fold(data):
    """Parse data.fold, "k/K" with 0 <= k < K and K >= 2, to (k, K); None where it is empty.

    data: config.data. Raises ConfigError for other text, and for a source that has no folds.
    """
    if not data.fold:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", data.fold)
    if not match or int(match[2]) < 2 or int(match[1]) >= int(match[2]):
        raise ConfigError(
            f"data.fold={data.fold!r} is not k/K with 0 <= k < K and K >= 2; for example 0/3"
        )
    if data.source not in FILE_SOURCES:
        raise ConfigError(
            f"data.fold={data.fold}: data.source={data.source} has no folds; use "
            "data.source=folder, or leave data.fold empty"
        )
    return int(match[1]), int(match[2])
