"""Files that appear whole or not at all, and directories that keep what they were made for.

What `write_atomic` has waited for outlives a power cut: the bytes reach the disk before the name
does, and the name before the function returns. A file that was damaged since is set aside by name,
so that whoever needs it makes it anew.
"""

import itertools
import json
import logging
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

from dtgan.config import ConfigError

log = logging.getLogger("dtgan")


def write_atomic(path, content, wait=True):
    """Write text or bytes to `path` at once: a reader, or a kill, never sees half of it.

    content: may also be a function that writes to the open file that it is given. wait: for the
    disk; of many small files `sync_all` waits for all together. Raises OSError where that fails;
    then `path` is as it was, and nothing is left beside it.
    """
    path = pathlib.Path(path)
    part = part_of(path)
    if isinstance(content, str):
        content = content.encode()
    try:
        with part.open("w+b") as file:
            content(file) if callable(content) else file.write(content)
            if wait:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if wait:
        sync(path.parent)


def part_of(path):
    """Name the file that is written, then renamed to `path`; hidden, of this process alone."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def is_part(path):
    """Tell whether a file is a `part_of` another, maybe of a process that was killed."""
    return path.name[0] == "." and path.suffix == ".part"


def sync(path):
    """Wait until a file's bytes, or the names in a folder, are on disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_all(paths, threads=16):
    """Wait until files that were written without waiting are on disk, then their names.

    threads: that wait at once, for which the disk does the work of many together.
    """
    paths = list(map(pathlib.Path, paths))
    with ThreadPoolExecutor(threads) as pool:
        for part in (paths, {path.parent for path in paths}):
            list(pool.map(sync, part))  # raises what a thread has raised


def sync_tree(folder):
    """Wait until all of a folder is on disk, its files before their names."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(os.path.join(where, name))
        sync(where)


def set_aside(path, reason):
    """Rename what is damaged to `<name>.damaged`, or the next free such name, and log why."""
    path = pathlib.Path(path)
    names = (path.with_name(f"{path.name}.damaged{i or ''}") for i in itertools.count())
    target = next(name for name in names if not name.exists())
    path.rename(target)
    log.warning("%s is damaged (%s): set aside as %s, not used", path, reason, target.name)


def read_json(path):
    """Read a JSON object that can be made again; None where there is none, or a damaged one.

    A damaged file is set aside.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None
    try:
        return parse_object(path.read_bytes())
    except ValueError as error:
        set_aside(path, error)
        return None


def parse_object(content):
    """Parse bytes as a JSON object. Raises ValueError, with the reason, for others."""
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} in the place of an object")
    return found


def same_or_refuse(file, described, what):
    """Keep in `file` what a directory holds; refuse to mix it with something else.

    described: JSON-able, all that the content depends on; what: "a set", for the message. Raises
    ConfigError where the file describes something else or is damaged, so that nobody knows what
    the directory holds; OSError where it cannot be written.
    """
    file = pathlib.Path(file)
    described = json.loads(json.dumps(described))
    try:
        known = parse_object(file.read_bytes()) if file.exists() else described
    except ValueError as error:
        raise ConfigError(
            f"{file} is damaged ({error}), so what {file.parent} holds is not known; restore it "
            "from a copy, or use another directory"
        ) from None
    for name, value in described.items():
        if known.get(name) != value:
            raise ConfigError(
                f"--out={file.parent} holds {what} with {name}={known.get(name)}, this one has "
                f"{name}={value}; use another directory, or the old values to go on"
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(described, indent=2) + "\n")
