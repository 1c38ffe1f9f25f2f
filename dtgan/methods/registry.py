"""The families by name; a family's line here is the only one outside its own files."""

import functools

import jax

from dtgan.config import ConfigError, nearest
from dtgan.data import pipeline
from dtgan.methods import (
    cdc,
    cyclegan,
    defect_gan,
    dfmgan,
    dtgan,
    layered,
    paste,
    poisson,
    stackgan,
    stylegan2,
)
from dtgan.methods.base import Make

METHODS: dict[str, Make] = {
    "cdc": cdc.make,
    "cyclegan": cyclegan.make,
    "defect_gan": defect_gan.make,
    "dfmgan": dfmgan.make,
    "dtgan": dtgan.make,
    "layered": layered.make,
    "paste": paste.make,
    "poisson": poisson.make,
    "stackgan": stackgan.make,
    "stylegan2": stylegan2.make,
}


def make_method(config, classes):
    """Make the `Method` that config.method names; classes: names of all classes, NORMAL first."""
    if config.method not in METHODS:
        raise ConfigError(
            f"method={config.method!r} is unknown{nearest(config.method, METHODS)}; "
            f"known: {', '.join(METHODS)}"
        )
    return METHODS[config.method](config, tuple(classes))


def init_of(method, config):
    """Bind `Method.init` to the batches of a config: key -> GanState of step 0."""
    return functools.partial(method.init, batch_spec=pipeline.batch_spec(config, method.reads))


def abstract_state(method, config):
    """Return the shapes and types of the GanState of a `Method`."""
    return jax.eval_shape(init_of(method, config), jax.random.key(0))
