"""Records of a run: metrics.jsonl, TensorBoard events, and log lines with progress and ETA."""

import contextlib
import json
import logging
import pathlib
import time

from dtgan.files import write_atomic

log = logging.getLogger("dtgan")


class Writer:
    """Scalars and images of a run. Only the lead process writes; the others' calls do nothing.

    On resume the rows of metrics.jsonl after the restored step are dropped: they will be written
    again.
    """

    def __init__(self, workdir, step=0, lead=True):
        self._file = self._events = None
        if not lead:
            return
        from tensorboardX import SummaryWriter

        path = pathlib.Path(workdir) / "metrics.jsonl"
        if path.exists():
            kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
            write_atomic(path, "".join(line + "\n" for line in kept))
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(workdir), purge_step=step + 1 if step else None)

    def scalars(self, step, values):
        """Write {name: float} at a step."""
        if self._file:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def image(self, step, name, image):
        """Write uint8 [H, W, C] to the TensorBoard events."""
        if self._events:
            self._events.add_image(name, image, step, dataformats="HWC")

    def close(self):
        """Flush and close the files."""
        if self._file:
            self._file.close()
            self._events.close()


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
            f"{steps_per_s * self._images:.1f} images/s  ETA {_clock_text(left)}  {shown}"
        )


def _clock_text(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _step_of(line):
    """Read the step of a metrics row; infinity for a row that was cut short by a kill."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")
