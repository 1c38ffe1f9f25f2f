"""Files that appear whole or not at all, and directories that keep what they were made for."""

import json
import os
import pathlib

from dtgan.config import ConfigError


def write_atomic(path, content):
    """Write text or bytes to `path` at once: a reader, or a kill, never sees half of it."""
    path = pathlib.Path(path)
    part = part_of(path)
    if isinstance(content, str):
        content = content.encode()
    part.write_bytes(content)
    os.replace(part, path)


def part_of(path):
    """Name the file that is written, then renamed to `path`; hidden, of this process alone."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def same_or_refuse(file, described, what):
    """Keep in `file` what a directory holds; refuse to mix it with something else.

    described: JSON-able, all that the content depends on; what: "a set", for the message. Raises
    ConfigError where the file describes something else, OSError where it cannot be written.
    """
    file = pathlib.Path(file)
    described = json.loads(json.dumps(described))
    known = json.loads(file.read_text()) if file.exists() else described
    for name, value in described.items():
        if known.get(name) != value:
            raise ConfigError(
                f"--out={file.parent} holds {what} with {name}={known.get(name)}, this one has "
                f"{name}={value}; use another directory, or the old values to go on"
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(described, indent=2) + "\n")
