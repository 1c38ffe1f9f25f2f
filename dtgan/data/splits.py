"""The names of the splits of a data set."""

from dtgan.config import ConfigError, nearest

SPLITS = ("train", "val", "test")


def parse_split(split):
    """Parse "train+val" to ("train", "val"). Raises ConfigError for another name, or one twice."""
    parts = tuple(part.strip() for part in str(split).split("+"))
    for part in parts:
        if part not in SPLITS:
            raise ConfigError(
                f"data.split={split!r}: {part!r} is not one of {', '.join(SPLITS)}"
                f"{nearest(part, SPLITS)}; join several with '+'"
            )
    if len(set(parts)) < len(parts):
        raise ConfigError(f"data.split={split!r} names a split twice")
    return parts


def free_split(*taken):
    """Return the first of val and test that is in no split of `taken`; None if both are.

    Neither trained on nor scored, it is for floors, thresholds and the calibration of alarms.
    """
    used = {part for split in taken for part in parse_split(split)}
    return next((split for split in ("val", "test") if split not in used), None)
