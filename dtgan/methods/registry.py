"""The families by name; a family's line here is the only one outside its own files."""

from dtgan.config import ConfigError, nearest
from dtgan.methods import dtgan, layered, paste, poisson
from dtgan.methods.base import Make

METHODS: dict[str, Make] = {
    "dtgan": dtgan.make,
    "layered": layered.make,
    "paste": paste.make,
    "poisson": poisson.make,
}


def make_method(config, classes):
    """Make the `Method` that config.method names; classes: names of all classes, NORMAL first."""
    if config.method not in METHODS:
        raise ConfigError(
            f"method={config.method!r} is unknown{nearest(config.method, METHODS)}; "
            f"known: {', '.join(METHODS)}"
        )
    return METHODS[config.method](config, tuple(classes))
