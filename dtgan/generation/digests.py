"""Digests of the files of a set, in the format of the command sha256sum."""

import hashlib
import pathlib

from dtgan.files import write_atomic

FILE = "SHA256SUMS"
_OTHER = (FILE, "plan.json", "_SUCCESS")  # written before or after


def write(out):
    """Write the digests of all files of a set."""
    out = pathlib.Path(out)
    files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())
    named = [f for f in files if f.name[0] != "." and f.parts[0][0] != "." and str(f) not in _OTHER]
    lines = (f"{_digest(out / file)}  {file.as_posix()}\n" for file in named)
    write_atomic(out / FILE, "".join(lines))


def faults(out):
    """List what is wrong with a set: files that are missing or have changed, a line each."""
    out, found = pathlib.Path(out), []
    if not (out / FILE).is_file():
        return [f"{FILE} is missing"]
    for line in (out / FILE).read_text(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if not (out / name).is_file():
            found.append(f"{name} is missing")
        elif _digest(out / name) != digest:
            found.append(f"{name} has changed")
    return found


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
