"""The families by name."""

from dtgan.config import ConfigError, nearest
from dtgan.methods import dtgan, layered

METHODS = {"dtgan": dtgan.make, "layered": layered.make}


def make_method(config, num_classes):
    """The `Method` that config.method names, for `num_classes` classes with the normal one."""
    if config.method not in METHODS:
        raise ConfigError(
            f"method={config.method!r} is unknown{nearest(config.method, METHODS)}; "
            f"known: {', '.join(METHODS)}"
        )
    return METHODS[config.method](config, num_classes)
