"""Pins that a signal is heard during imports and compilations, and a second one at any time."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.faults

# Stands for a compilation: C code that lets other threads run, and no handler of Python.
BLOCKED = "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2**31 - 1)"
BEGIN = """
import hashlib, os, signal, sys
from dtgan.training.signals import StopSignal
def say(word):
    os.write(1, word.encode() + bytes([10]))
"""


def start(code):
    command = [sys.executable, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(code)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


def told(process, *signals):
    """Send signals as soon as the process speaks: (exit code, stderr, seconds)."""
    assert process.stdout.readline()
    begun = time.monotonic()
    for number in signals:
        time.sleep(0.2)
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    return process.returncode, errors, time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_with_nothing_to_save_ends_at_once(number):
    code = f"with StopSignal(): say('ready'); {BLOCKED}"
    rc, errors, seconds = told(start(code), number)
    assert rc == 0 and f"{number.name}: stopped, nothing to save yet" in errors and seconds < 10


def test_a_second_signal_ends_at_once():
    code = f"with StopSignal(leavable=False): say('ready'); {BLOCKED}"
    rc, errors, seconds = told(start(code), signal.SIGTERM, signal.SIGINT)
    assert rc == 130 and "saving at the next step" in errors and "ending at once" in errors
    assert seconds < 10


def test_imports_can_be_left():
    """`agreed` alone needs JAX, whose import takes seconds."""
    code = "say(str('jax' in sys.modules)); assert 'jax' not in sys.modules"
    process = start(code)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and output == "False\n"


def test_handlers_are_as_before_afterwards():
    code = """
    with StopSignal():
        with StopSignal():
            pass
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    """
    process = start(code)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
