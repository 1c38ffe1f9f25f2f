"""Pins that shell scripts parse and that launch/run.sh explains itself."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = [*sorted((ROOT / "launch").glob("*.sh")), ROOT / ".ci" / "run"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_parse(path):
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert path.stat().st_mode & 0o100, "not executable"


def test_run_without_a_command_prints_its_use():
    run = subprocess.run([ROOT / "launch" / "run.sh"], capture_output=True, text=True, check=False)
    assert run.returncode == 2 and "dtgan.main" in run.stdout and "DTGAN_EXTRAS" in run.stdout
