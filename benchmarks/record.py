"""Writes a benchmark's result file with how it came about, for pages to tell."""

import datetime
import functools
import json
import pathlib
import shlex
import subprocess
import sys

from dtgan.files import write_atomic

ROOT = pathlib.Path(__file__).resolve().parents[1]


def write(path, result, **facts):
    """Write a dict with "run" beside its own keys: {"commands": [text], "commit", "date"}. Atomic.

    facts: more of "run" that pages tell, as text: config, hardware, time, seeds.

    The command is the present one; a folder given by its whole path is told as DIR/ and its name,
    since that path means nothing elsewhere. Changed files show as "-dirty" in the commit.
    """
    path.parent.mkdir(exist_ok=True)
    run = {"commands": [command(sys.argv)], "commit": commit(ROOT)}
    run |= {"date": datetime.date.today().isoformat(), **facts}
    write_atomic(path, json.dumps({"run": run} | result, indent=2) + "\n")


def command(argv):
    """Tell how to start this again from argv, from the repository's folder."""
    words = [f"benchmarks.{pathlib.Path(argv[0]).stem}"]
    for word in argv[1:]:
        flag, sign, value = word.rpartition("=")
        if value.startswith("/"):
            value = "DIR/" + pathlib.PurePath(value).name
        words.append(flag + sign + value)
    return "launch/run.sh python -m " + quoted(words)


def quoted(words):
    """Join words as a shell reads them; of a flag the value alone is quoted."""
    parts = (word.partition("=") for word in words)
    return " ".join(
        f"{name}={shlex.quote(value)}" if sign and name.startswith("-") else shlex.quote(word)
        for word, (name, sign, value) in zip(words, parts, strict=True)
    )


@functools.cache  # as it is at the first result, which is itself a changed file afterwards
def commit(path):
    """Name the commit of a clone; "unknown" for another folder, since the result must be kept."""
    asked = ["git", "-C", path, "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    except OSError:  # without git
        found = ""
    return found or "unknown"
