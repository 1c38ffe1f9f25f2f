"""Records of a run: metrics.jsonl, TensorBoard events, and log lines with progress and ETA."""

import contextlib
import json
import logging
import pathlib
import time

from dtgan import images
from dtgan.files import parse_object, set_aside, write_atomic
from dtgan.progress import clock_text
from dtgan.runs.events import Events

log = logging.getLogger("dtgan")


class Writer:
    """Scalars and images of a run. Only the lead process writes; the others' calls do nothing.

    On resume the rows of metrics.jsonl after the restored step are dropped: they will be written
    again. A record that cannot be written is lost, which is said once; the run goes on.
    """

    def __init__(self, workdir, step=0, lead=True):
        self._workdir, self._events = pathlib.Path(workdir), None
        self._metrics, self._failed = self._workdir / "metrics.jsonl", False
        if lead:
            with self._forgiven():
                keep_rows(self._metrics, step)
            self._events = Events(workdir, step)

    def scalars(self, step, values):
        """Write {name: float} at a step."""
        if not self._events:
            return
        # Opened anew, so that a disk that was full has no memory of it; after a failure on a new
        # line, as a part of the last row may be there.
        row = "\n" * self._failed + json.dumps({"step": step, **values}) + "\n"
        with self._forgiven(), self._metrics.open("a") as file:
            file.write(row)
        self._events.scalars(values, step)

    def image(self, step, name, image):
        """Write uint8 [H, W, C] as <name>/<step>.png, and to the TensorBoard events."""
        if self._events:
            with self._forgiven():
                images.write_image(self._workdir / name / f"{step}.png", image)
            self._events.image(name, image, step)

    def close(self):
        """Write what still waits."""
        if self._events:
            self._events.close()

    @contextlib.contextmanager
    def _forgiven(self):
        try:
            yield
        except OSError as error:
            if not self._failed:
                log.warning("records of the run are lost, it goes on: %s", error)
            self._failed = True


def keep_rows(file, step):
    """Drop the rows of a metrics.jsonl after a step, and those that are damaged.

    A last row that a kill cut short is nobody's loss. Of other damage the whole file is set aside.
    """
    if not file.exists():
        return
    content = file.read_bytes()
    whole, _, _ = content.rpartition(b"\n")
    rows = [(line, _step_of(line)) for line in whole.splitlines() if line]
    if any(at is None for _, at in rows):
        set_aside(file, "a row cannot be read; the others are kept")
    kept = [line + b"\n" for line, at in rows if at is not None and at <= step]
    write_atomic(file, b"".join(kept))


class Progress:
    """Throughput and remaining time, without compilation, sampling and saving."""

    def __init__(self, step, total, images_per_step, clock=time.monotonic):
        self._total, self._images, self._clock = total, images_per_step, clock
        self._done, self._busy, self._waited = 0, 0.0, 0.0
        self._mark_step, self._mark_time = step, clock()

    @contextlib.contextmanager
    def waiting(self):
        """Count the time in this context as waiting for data."""
        start = self._clock()
        yield
        self._waited += self._clock() - start

    def pause(self, step):
        """Count the steps up to `step` as done, and no time until `resume`."""
        now = self._clock()
        self._done += step - self._mark_step
        self._busy += now - self._mark_time
        self._mark_step, self._mark_time = step, now

    def resume(self):
        """Count time again."""
        self._mark_time = self._clock()

    def rates(self):
        """Compute steps/s, images/s and the share of time spent on data since the last call.

        All are 0 before the first step. The device may work while the loop waits for data.
        """
        steps = self._done / self._busy if self._busy else 0.0
        waited = self._waited / self._busy if self._busy else 0.0
        self._done, self._busy, self._waited = 0, 0.0, 0.0
        return {
            "rate/steps_per_s": steps,
            "rate/images_per_s": steps * self._images,
            "rate/waiting_for_data": waited,
        }

    def line(self, step, steps_per_s, values):
        """Format a log line: position, ETA, and some values."""
        left = (self._total - step) / steps_per_s if steps_per_s else 0.0
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        width = len(str(self._total))
        return (
            f"step {step:{width}d}/{self._total} ({100 * step / self._total:3.0f} %)  "
            f"{steps_per_s * self._images:.1f} images/s  ETA {clock_text(left)}  {shown}"
        )


def _step_of(line):
    """Read the step of a metrics row; None for a row that is damaged."""
    try:
        return int(parse_object(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
