"""The directory of a run: writable, used by one run at a time, and always by the same one.

workdir/config.json  checkpoints/<step>/  metrics.jsonl  events.*  samples/<step>.png
"""

import contextlib
import fcntl
import logging
import pathlib

from dtgan import config as config_lib
from dtgan.config import ConfigError
from dtgan.files import read_json
from dtgan.runs import checkpoints

log = logging.getLogger("dtgan")


@contextlib.contextmanager
def open_workdir(path, config):
    """Create and lock `path` for a run of `config`; the lock ends with the process in any case.

    Raises ConfigError where the directory cannot be written, another run holds it, or it belongs to
    a run whose config differs in fields that give its arrays their meaning; other differences are
    logged.
    """
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("a")
    except OSError as error:
        raise ConfigError(
            f"workdir {path} cannot be written ({error.strerror}); use --workdir=DIR"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"workdir {path} is in use by another run; wait for it or use another workdir"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"workdir {path} cannot be locked ({error.strerror}); use a file system with locks"
            ) from error
        check_config(path, config)
        yield path


def check_config(path, config):
    """Compare with the config of the workdir's run: refuse another architecture or other data.

    Other differences are logged.
    """
    old = known_config(pathlib.Path(path))
    if old is None:
        return
    changes = config_lib.diff(old, config)
    refused = {
        name: pair
        for name, pair in changes.items()
        if not config_lib.is_changeable(name, config.method)
    }
    if refused:
        raise ConfigError(
            f"workdir {path} belongs to a run with {_text(refused, 0)}, this one has "
            f"{_text(refused, 1)}; use another workdir or the old values"
        )
    if changes:
        log.info("resuming with %s (was %s)", _text(changes, 1), _text(changes, 0))


def known_config(path):
    """Read the config of the run that a workdir belongs to; None where it has saved nothing.

    It is in config.json and, should that be damaged or gone, in every checkpoint. Raises
    ConfigError for one of another version of dtgan.
    """
    # A run that ended before its first checkpoint leaves nothing that another config could harm.
    steps = [int(p.name) for p in (path / "checkpoints").glob("[0-9]*") if p.name.isdigit()]
    fields = read_json(path / "config.json") if steps else None
    for step in sorted(steps, reverse=True):
        with contextlib.suppress(OSError, ValueError):
            fields = fields or checkpoints.read_json_item(path, step, "config")
    # Where all checkpoints are damaged, too, who restores them says so.
    return config_lib.from_dict(fields) if fields else None


def _text(changes, side):
    return ", ".join(f"{name}={pair[side]}" for name, pair in sorted(changes.items()))
