"""Lengths of training: steps, epochs, thousands of images."""

import math
import re

from dtgan.config.errors import ConfigError


def to_steps(duration, batch_size, num_defects):
    """Convert "500steps", "12epochs" (over the defects) or "800kimg" (thousands) to steps."""
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*(steps|epochs|kimg)\s*", str(duration))
    if not match or not float(match[1]):
        raise ConfigError(
            f"train.duration={duration!r} is not a duration; write 500steps, 12epochs or 800kimg"
        )
    amount = float(match[1])
    images = {"steps": batch_size, "epochs": num_defects, "kimg": 1000}[match[2]] * amount
    return max(1, math.ceil(images / batch_size - 1e-9))
