"""TensorBoard events, written beside the run by a thread of their own.

Nobody waits for them: where the disk is full, slow or gone they are lost, which is said once, and
the run goes on.
"""

import logging
import pathlib
import queue
import threading
import time

import numpy as np

log = logging.getLogger("dtgan")

WAITING = 256  # rows of numbers and images that wait for the disk at most
PATIENCE = 5.0  # seconds at the end for those that still wait


class Events:
    """The events file of a run."""

    def __init__(self, workdir, step=0):
        """Events of steps after `step`, where that is not 0, are taken back: they come again."""
        self._workdir, self._step, self._lost = pathlib.Path(workdir), step, threading.Event()
        self._queue = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()

    def scalars(self, values, step):
        """Queue {name: number}, as one row: all are kept, or all are lost."""
        self._put(values, step)

    def image(self, name, image, step):
        """Queue uint8 [H, W, C]."""
        self._put({name: image}, step)

    def close(self):
        """Write what waits, but do not wait long."""
        try:
            self._queue.put(None, timeout=PATIENCE)
        except queue.Full:
            return self._lose("the disk does not answer")
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._lose("the disk does not answer")

    def _put(self, row, step):
        if self._lost.is_set():
            return
        try:
            self._queue.put_nowait((row, step, time.time()))
        except queue.Full:
            self._lose("the disk does not keep up")

    def _lose(self, reason):
        if not self._lost.is_set():
            self._lost.set()
            log.warning("no more TensorBoard events (%s); metrics.jsonl has the numbers", reason)

    def _work(self):
        try:
            self._write_all()
        except Exception as error:  # of any type: none of them is worth a run
            self._lose(error)
            while self._queue.get() is not None:  # so that `close` need not wait
                pass

    def _write_all(self):
        from tensorboardX.event_file_writer import EventsWriter  # SummaryWriter can wait for ever
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        file = EventsWriter(str(self._workdir / "events"))
        if self._step:
            begun = SessionLog(status=SessionLog.START)
            file.write_event(Event(step=self._step + 1, session_log=begun, wall_time=time.time()))
        while (entry := self._queue.get()) is not None:
            row, step, now = entry
            file.write_event(Event(step=step, summary=_summary(row), wall_time=now))
            if self._queue.empty():
                file.flush()
        file.close()


def _summary(row):
    """Make TensorBoard's summary of {name: number, or uint8 [H, W, C]}."""
    from tensorboardX import summary
    from tensorboardX.proto.summary_pb2 import Summary

    made = Summary()
    for name, value in row.items():
        if np.ndim(value):
            made.MergeFrom(summary.image(name, value, dataformats="HWC"))
        else:
            made.MergeFrom(summary.scalar(name, value))
    return made
