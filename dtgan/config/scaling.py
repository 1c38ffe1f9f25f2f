"""The fields that say how pictures are scaled before they are cropped."""

import math

from dtgan.config.errors import ConfigError

LARGEST_SCALE = 4.0  # data.scale; what is enlarged further holds no more detail


def check_scaling(data):
    """Raise ConfigError where data.scale and data.scale_to, of config.data, cannot work."""
    if not (data.scale == 0 or 0 < data.scale <= LARGEST_SCALE):
        rule = "finite" if not math.isfinite(data.scale) else f"in (0, {LARGEST_SCALE:g}]"
        raise ConfigError(
            f"data.scale={data.scale:g} is not {rule}; give pixels of training per pixel of the "
            "picture: 1 = as it is, 0.5 = half of each side; 0 = scale by the shorter side"
        )
    if data.scale and data.scale_to:
        raise ConfigError(
            f"data.scale={data.scale:g} and data.scale_to={data.scale_to} both say how pictures "
            "are scaled; leave one of them out"
        )
    if data.clean_parts and not data.scale:
        raise ConfigError(
            "data.clean_parts=True needs one scale for all pictures, since a part has other sides "
            "than its picture; set data.scale"
        )
    if data.scale_to < -1:
        raise ConfigError(f"data.scale_to={data.scale_to} is not -1, 0 or a number of pixels")
    if 0 < data.scale_to < data.res:
        raise ConfigError(
            f"data.scale_to={data.scale_to} is below data.res={data.res}; use 0 or >= {data.res}"
        )
