"""The fields that only one family of models has, a file a family, named as in `config.method`.

A file holds FIELDS (a nested dict; it may also give another default to a shared field) and, where
there is something to say, CHOICES {field: allowed values}, CHANGEABLE (fields that a resumed run
may change) and check(config), which raises ConfigError for values that cannot work.
"""

import importlib
import pkgutil
from types import ModuleType

from dtgan.config.errors import ConfigError, nearest


def names():
    """List the names of all families, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name) -> ModuleType:
    """Import the file of a family. Raises ConfigError for an unknown family."""
    if name not in names():
        raise ConfigError(
            f"method={name!r} is unknown{nearest(name, names())}; known: {', '.join(names())}"
        )
    return importlib.import_module(f"{__name__}.{name}")
