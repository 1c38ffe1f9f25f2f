"""Checks of a config before anything is read or compiled."""

import math

from dtgan.config import families
from dtgan.config.durations import to_steps
from dtgan.config.errors import ConfigError, nearest
from dtgan.config.folds import parse_fold
from dtgan.config.scaling import check_scaling
from dtgan.config.schema import FILE_SOURCES
from dtgan.config.tree import flatten

_CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "data.source": ("procedural", *FILE_SOURCES, "tfds"),
    "data.counts": ("gan", "classifier"),
    "data.channels": (1, 3),
    "data.balance": ("classes", "oversample", "none"),
    "data.flips": ("along", "across", "both", "none"),
    "data.rolling": ("horizontal", "vertical"),
    "data.res": (32, 64, 128, 256),
}
_AT_LEAST_ONE = (
    "data.batch_size",
    "data.workers",
    "train.log_every",
    "train.sample_every",
    "train.sample_rows",
    "train.summary_pairs",
    "checkpoint.every",
    "checkpoint.keep",
)
# Groups of weights and rates, where 0 switches a thing off and less means nothing.
_NOT_NEGATIVE = ("loss.", "optim.", "augment.", "model.d_")
_AUTOMATIC = -1.0  # but this, in loss.r1_*, asks for the automatic value


def validate(config, num_devices=1):
    """Raise ConfigError for values that cannot work."""
    family, flat = families.load(config.method), flatten(config)
    for name, allowed in {**_CHOICES, **getattr(family, "CHOICES", {})}.items():
        if flat[name] not in allowed:
            raise ConfigError(
                f"{name}={flat[name]!r} is not one of {', '.join(map(str, allowed))}"
                + nearest(str(flat[name]), map(str, allowed))
            )
    for name, value in flat.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name}={value} is not finite")
        automatic = name.startswith("loss.r1_") and value == _AUTOMATIC
        number = isinstance(value, int | float)
        if number and name.startswith(_NOT_NEGATIVE) and value < 0 and not automatic:
            raise ConfigError(f"{name}={value} is negative; use 0 to switch it off")
    for name in _AT_LEAST_ONE:
        if flat[name] < 1:
            raise ConfigError(f"{name}={flat[name]} is below 1")
    if not 0.0 <= config.data.shortcut <= 1.0:
        raise ConfigError(f"data.shortcut={config.data.shortcut} is outside 0..1")
    if hasattr(family, "check"):
        family.check(config)
    _check_step(config.init)
    if config.data.source in (*FILE_SOURCES, "tfds") and not config.data.path:
        raise ConfigError(
            f"data.source={config.data.source} needs its place: --config.data.path=DIR"
        )
    if config.data.masks_from and config.data.source not in FILE_SOURCES:
        raise ConfigError(
            f"data.masks_from={config.data.masks_from} is for pictures in files, not for "
            f"data.source={config.data.source}; leave it out"
        )
    if not 0.0 <= config.data.masks_above < 1.0:
        raise ConfigError(
            f"data.masks_above={config.data.masks_above} is not in [0, 1); try 0.2, or 0 to have "
            "it chosen"
        )
    parse_fold(config.data)
    check_scaling(config.data)
    _check_batch(config.data.batch_size, num_devices)
    to_steps(config.train.duration, config.data.batch_size, 1)


def _check_step(init):
    """Raise ConfigError where the donor's step is neither a known word nor a number."""
    if init.step not in ("latest", "best") and not init.step.isdecimal():
        raise ConfigError(f"init.step={init.step!r} is not latest, best or a number")


def _check_batch(batch, num_devices):
    if batch % num_devices:
        lower, upper = batch // num_devices * num_devices, -(-batch // num_devices) * num_devices
        remedy = f"{lower} or {upper}" if lower else f"{upper}"
        raise ConfigError(
            f"data.batch_size={batch} is not divisible by {num_devices} devices; use {remedy}"
        )
