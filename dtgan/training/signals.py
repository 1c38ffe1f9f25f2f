"""SIGTERM and SIGINT as a request to save and stop."""

import logging
import os
import signal
import threading

import numpy as np

log = logging.getLogger("dtgan")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """SIGTERM or SIGINT as a request to save at the next step boundary and end.

    While there is nothing to save, the first signal ends the process at once, with exit code 0; a
    second one does so at any time. Python's own handlers wait for the end of a compilation, so a
    thread of its own hears of signals, by the byte that C writes for each.

    leavable: whether there is nothing to save; whoever makes something sets it to False. Processes
    that wait for each other never leave alone.
    """

    def __init__(self, leavable=True):
        self.requested, self.leavable = False, leavable
        self._old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            self._old = {number: signal.signal(number, _ignore) for number in _SIGNALS}
            self._old_write = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(read,), name="signals", daemon=True).start()
        return self

    def __exit__(self, *_):
        if self._old:
            signal.set_wakeup_fd(self._old_write)
            for number, handler in self._old.items():
                signal.signal(number, handler)
            os.close(self._write)

    def _listen(self, read):
        while byte := os.read(read, 1):
            if byte[0] in _SIGNALS:
                self._hear(signal.Signals(byte[0]))
        os.close(read)

    def _hear(self, number):
        if self.requested:
            log.warning("%s again: ending at once; what was saved is kept", number.name)
            os._exit(128 + number)
        self.requested = True
        if self.leavable:
            log.warning("%s: stopped, nothing to save yet", number.name)
            os._exit(0)
        log.warning("%s: saving at the next step, then ending", number.name)

    def agreed(self):
        """Tell whether any process was asked to stop; all must call this at the same step."""
        import jax  # slow, and signals must be heard from the start

        if jax.process_count() == 1:
            return self.requested
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(self.requested))))


def _ignore(_number, _frame):
    """Stand in for the default handler, which would end the process."""
