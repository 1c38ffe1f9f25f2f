"""SIGTERM and SIGINT as a request to save and stop."""

import logging
import signal
import threading

import jax
import numpy as np

log = logging.getLogger("dtgan")


class StopSignal:
    """SIGTERM or SIGINT as a request to save at the next step boundary and end.

    A second signal interrupts at once. Python runs handlers between bytecodes, so a signal during a
    compilation is handled after it.
    """

    def __init__(self):
        self.requested = False
        self._old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number, _frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        log.warning("%s: saving at the next step, then ending", signal.Signals(number).name)

    def agreed(self):
        """Tell whether any process was asked to stop; all must call this at the same step."""
        if jax.process_count() == 1:
            return self.requested
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(self.requested))))
