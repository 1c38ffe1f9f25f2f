"""Pins how verbs begin: their devices, and what they wait for."""

import logging
import os
import subprocess
import sys
import threading

import pytest

from dtgan import cli
from dtgan.config import ConfigError
from dtgan.evaluate import await_workdir

pytestmark = pytest.mark.faults


@pytest.fixture
def told(caplog):
    """What is logged."""
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.INFO, "dtgan"):
        yield caplog


def test_the_device_is_named(told, monkeypatch):
    cli.open_devices()
    assert "on 8 x cpu" in told.text and "accelerator" not in told.text
    monkeypatch.setattr(cli, "ACCELERATORS", (os.devnull,))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    cli.open_devices()
    assert "there is an accelerator, but not for this JAX" in told.text


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is such a device here")
@pytest.mark.parametrize("verb", ["evaluate", "main"])
def test_a_device_that_is_not_there_is_one_line(verb):
    own = {"main": ["--config=configs/quickstart.py"]}.get(verb, [])
    command = [sys.executable, "-m", f"dtgan.{verb}", "--workdir=x", "--compilation_cache=", *own]
    env = os.environ | {"JAX_PLATFORMS": "cuda"}
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 1 and "Traceback" not in found.stderr, found.stderr
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert "JAX_PLATFORMS=cuda: JAX finds no such device" in line


def test_a_watch_waits_for_its_run(tmp_path, told):
    workdir = tmp_path / "run"
    timer = threading.Timer(0.2, workdir.mkdir)
    timer.start()
    await_workdir(workdir, 30.0, poll=0.02)
    timer.join()
    assert told.text.count("waiting for") == 1
    with pytest.raises(ConfigError, match=r"did not appear in 0.05 s"):
        await_workdir(tmp_path / "other", 0.05)


def test_an_interruption_is_a_line(monkeypatch, capsys):
    def work():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.app, "run", lambda guarded, flags_parser: guarded(["x"]))
    with pytest.raises(SystemExit) as left:
        cli.run(work, None, (ConfigError,))
    monkeypatch.setattr(cli, "open_devices", lambda: None)
    assert left.value.code == cli.exit_code(work) == 130
    assert capsys.readouterr().err == "interrupted\n" * 2
