"""Progress of long work: a bar on a terminal, plain lines elsewhere, both with rate and ETA."""

import contextlib
import logging
import sys
import time

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger("dtgan")

SECONDS = 10.0  # between plain lines; work that takes less says nothing


@contextlib.contextmanager
def track(what, total, unit, clock=time.monotonic):
    """Show how far some work is, on stderr: yields done(number), to be called after each part.

    what: it is doing, such as "drawing"; total: of the things to be done; unit: their plural.
    Bars are shown, above other log lines, and removed in the end. Where the log is for errors alone
    (processes of a job but the first) nothing is.
    """
    if log.level > logging.INFO:
        yield lambda number=1: None
    elif sys.stderr.isatty():
        bar = tqdm(total=total, desc=what, unit=f" {unit}", leave=False, dynamic_ncols=True)
        with logging_redirect_tqdm([log]), bar:
            yield bar.update
    else:
        yield _Lines(what, total, unit, clock).done


def each(items, what, unit, total=None):
    """Yield the items, and show how far the work on them is, as `track` does.

    total: how many there are; by default their len().
    """
    with track(what, len(items) if total is None else total, unit) as done:
        for item in items:
            yield item
            done()


class _Lines:
    """A line every SECONDS."""

    def __init__(self, what, total, unit, clock):
        self._what, self._total, self._unit, self._clock = what, total, unit, clock
        self._count, self._start = 0, clock()
        self._told = self._start

    def done(self, number=1):
        """Count things as done; print a line when it is time."""
        self._count, now = self._count + number, self._clock()
        if now - self._told < SECONDS or self._count >= self._total:
            return
        self._told, rate = now, self._count / (now - self._start)
        left = clock_text((self._total - self._count) / rate) if rate else "?"
        print(
            f"{time.strftime('%H:%M:%S')}  {self._what}: {self._count} of {self._total} "
            f"{self._unit} ({100 * self._count / self._total:.0f} %), {rate:.3g} {self._unit}/s, "
            f"{left} to go",
            file=sys.stderr,
            flush=True,
        )


def clock_text(seconds):
    """Format a time as 4:05 or 1:04:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
