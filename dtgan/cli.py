"""Shared by the binaries: flags, log lines, quiet libraries, the cache of compiled programs."""

import argparse
import importlib.util
import logging
import os
import pathlib
import shlex
import signal
import sys

from absl import app, flags
from absl import logging as absl_logging

from dtgan.config import ConfigError, flatten, nearest

CACHE = os.path.join("~", ".cache", "dtgan", "xla")  # default of --compilation_cache
ACCELERATORS = ("/dev/nvidia0", "/dev/accel0")  # a GPU, a TPU
CACHE_HELP = "Directory of compiled programs, for fast second starts; empty switches it off."


def setup_logging(lead=True):
    """Log our own lines to stderr, with the time; those of libraries only for errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    log = logging.getLogger("dtgan")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO if lead else logging.ERROR)


def start_jax(cache):
    """Import JAX without its log lines about devices, with the compilation cache if any."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    import jax

    if cache:
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(cache).expanduser()))


def open_devices():
    """Find the devices of this process and name them in the log. Raises as `find_devices`."""
    name_devices(find_devices())


def find_devices():
    """Find the devices of this process; whatever else asks JAX for them comes after it.

    Raises ConfigError where JAX_PLATFORMS asks for some that are not there.
    """
    import jax

    try:
        return jax.local_devices()
    except (RuntimeError, AssertionError, ValueError) as error:  # as the platform has it
        reason = " ".join(str(error).split()) or "nothing of the kind was found"
        raise ConfigError(
            f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: JAX finds no such device "
            f"({reason}); install the extra cuda or tpu (DTGAN_EXTRAS of launch/run.sh), or set "
            "JAX_PLATFORMS=cpu"
        ) from None


def name_devices(devices):
    """Name devices in the log, and an accelerator that JAX leaves unused."""
    log = logging.getLogger("dtgan")
    log.info("on %d x %s", len(devices), devices[0].device_kind)
    chosen = os.environ.get("JAX_PLATFORMS", "")
    if devices[0].platform == "cpu" and not chosen and any(map(os.path.exists, ACCELERATORS)):
        log.warning("there is an accelerator, but not for this JAX: install the extra cuda or tpu")


def parser(name, description):
    """Make an argument parser for `python -m dtgan.NAME`, with --compilation_cache."""
    made = argparse.ArgumentParser(
        prog=f"python -m dtgan.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--compilation_cache", default=CACHE, help=CACHE_HELP)
    return made


def start(args):
    """Start JAX and logging in a binary with flags of `parser`."""
    start_jax(args.compilation_cache)
    setup_logging()


def step(text, *more):
    """Parse --step: "latest", "best", a word of `more`, or a number.

    Raises ConfigError for other text.
    """
    words = ("latest", "best", *more)
    if text in words:
        return text
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f"--step={text} is not {', '.join(words)} or a number")
    return int(text)


def tell_report(**folders):
    """Log the command that shows what a verb has made; folders: {flag of dtgan.report: path}."""
    flags = " ".join(f"--{name}={shlex.quote(str(path))}" for name, path in folders.items())
    log = logging.getLogger("dtgan")
    log.info("to look at it: python -m dtgan.report %s --out=report.html", flags)


def exit_code(work):
    """Open the devices and call work(); return 0, or 1 for a user's mistake, told in one line."""
    try:
        open_devices()
        work()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(main, check, mistakes):
    """Run main() as an absl app after check(argv); print a mistake in one line, exit code 1.

    mistakes: the exceptions of main that are the user's to mend.
    """

    def guarded(argv):
        if len(argv) > 1:
            sys.exit(f"error: argument {argv[1]!r} is not a flag; write --FLAG=VALUE")
        try:
            main()
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
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


def check_config_flags(argv, default, example):
    """Raise ConfigError for a missing config file and for fields that the config does not have.

    default: the config where no file is given, None where one must be; example: a right --config
    flag.
    """
    config = default
    for arg in argv[1:]:
        name, _, value = arg.partition("=")
        if arg == "--config":
            raise ConfigError(f"--config needs a value in one word; for example {example}")
        if name == "--config":
            config = read_config(value, example)
    if config is None:
        if {"--help", "--helpfull", "--helpshort"} & {arg.partition("=")[0] for arg in argv}:
            return
        raise ConfigError(f"--config is missing; for example {example}")
    fields = flatten(config)
    for arg in argv[1:]:
        name = arg.partition("=")[0]
        field = name.removeprefix("--config.")
        if name.startswith("--config.") and field not in fields:
            family = f" in method={config.method}" if "method" in fields else ""
            raise ConfigError(
                f"config field {field!r} does not exist{family}{nearest(field, fields)}"
            )


def read_config(value, example=""):
    """Load the config FILE:ARGUMENT. Raises ConfigError for a bad file or argument."""
    path, _, argument = value.partition(":")
    if not os.path.exists(path):
        raise ConfigError(f"--config={value} is not a file; for example {example}")
    spec = importlib.util.spec_from_file_location("dtgan_config_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)
