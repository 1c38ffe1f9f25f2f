"""What the binaries share: flags, log lines, quiet libraries, the cache of compiled programs."""

import argparse
import logging
import os
import pathlib
import sys

from absl import app, flags
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


def parser(name, description):
    """An argument parser for `python -m dtgan.NAME`, with --compilation_cache."""
    made = argparse.ArgumentParser(
        prog=f"python -m dtgan.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--compilation_cache", default=CACHE, help=CACHE_HELP)
    return made


def start(args):
    """What comes first in a binary with flags of `parser`."""
    start_jax(args.compilation_cache)
    setup_logging()


def step(text):
    """A checkpoint as a flag: "latest", "best" or a number."""
    if text in ("latest", "best"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not latest, best or a number")
    return int(text)


def exit_code(work):
    """Call work(): 0, or 1 where it raised a user's mistake, which is told in one line."""
    try:
        work()
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(main, check, mistakes):
    """absl's app of main(argv) after check(argv); every mistake is told in one line, exit code 1.

    mistakes: the exceptions of main that are the user's to mend.
    """

    def guarded(argv):
        if len(argv) > 1:
            sys.exit(f"error: argument {argv[1]!r} is not a flag; write --FLAG=VALUE")
        try:
            main()
        except mistakes as error:
            sys.exit(f"error: {error}")

    def parse(argv):
        try:
            check(argv)
            return flags.FLAGS(argv)
        except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            # An error inside a config file arrives with its traceback as text.
            text = str(error).rpartition("dtgan.config.ConfigError: ")[2]
            sys.exit(f"error: {' '.join(text.split())}")

    app.run(guarded, flags_parser=parse)


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
