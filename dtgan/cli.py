"""What the binaries share: flags, log lines, quiet libraries, the cache of compiled programs."""

import logging
import os
import pathlib
import sys

from absl import flags
from absl import logging as absl_logging

from dtgan.config import ConfigError, nearest

CACHE = os.path.join("~", ".cache", "dtgan", "xla")  # default of --compilation_cache
CACHE_HELP = "Directory of compiled programs, for fast second starts; empty switches it off."


def setup_logging(lead=True):
    """Our own lines on stderr, with the time; libraries only when they report errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    log = logging.getLogger("dtgan")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO if lead else logging.ERROR)


def start_jax(cache):
    """Import JAX without its many words about devices, with the compilation cache if any."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    import jax

    if cache:
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(cache).expanduser()))


def flags_parser(check):
    """A parser for absl's `app.run`, after check(argv); it tells every mistake in one line."""

    def parse(argv):
        try:
            check(argv)
            return flags.FLAGS(argv)
        except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            # An error inside a config file arrives with its traceback as text.
            text = str(error).rpartition("dtgan.config.ConfigError: ")[2]
            sys.exit(f"error: {' '.join(text.split())}")

    return parse


def check_config_flags(argv, fields, example):
    """Raise ConfigError for a missing config file and for fields that do not exist.

    fields: the names of all fields; example: a right --config flag.
    """
    for arg in argv[1:]:
        name, _, value = arg.partition("=")
        if arg == "--config":
            raise ConfigError(f"--config needs a value in one word; for example {example}")
        if name == "--config" and not os.path.exists(value.partition(":")[0]):
            raise ConfigError(f"--config={value} is not a file; for example {example}")
        field = name.removeprefix("--config.")
        if name.startswith("--config.") and field not in fields:
            raise ConfigError(f"config field {field!r} does not exist{nearest(field, fields)}")
