"""What the binaries share: log lines, quiet libraries, the cache of compiled programs."""

import logging
import os
import pathlib

from absl import logging as absl_logging

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
