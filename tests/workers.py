"""What the workers of pytest-xdist make once for all."""

import contextlib
import fcntl


@contextlib.contextmanager
def once(directory):
    """Yield whether `directory`, made by whoever comes first, is still to be filled; others wait
    until it is."""
    directory.mkdir(exist_ok=True)
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = directory.with_suffix(".done")
        yield not done.exists()
        done.touch()
