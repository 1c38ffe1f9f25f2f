"""Pins what a full disk and a second job do: a line, no harm, and the same bits afterwards.

A limit of the size of files stands for the full disk: beyond it the system writes no more.
"""

import resource

import pytest

from benchmarks import faults
from benchmarks.warm import Warm

pytestmark = pytest.mark.faults
LIMIT = 6000  # bytes: above those of a log, below those of a checkpoint


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Warm(faults.ENVIRONMENT, faults.PREPARE) as warm:
        root = tmp_path_factory.mktemp("disk")
        yield faults.Stage(warm, root, frozenset(["train", "generate"]))


@pytest.mark.parametrize("verb", ["train", "generate"])
def test_a_full_disk_is_told_in_a_line_and_the_same_command_goes_on(stage, verb, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    started = stage.warm.start(*stage.command(verb, out), log)
    resource.prlimit(started.pid, resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    assert started.wait() == 1
    told = log.read_text()
    assert "Traceback" not in told
    lines = [line for line in told.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and ("could not be saved" in told or "cannot be written" in told)
    stage.warm.run(*stage.command(verb, out), tmp_path / "log2")
    assert faults.made(verb, out) == stage.made[verb]


def test_two_equal_jobs_at_once_both_end_well(stage, tmp_path):
    with Warm(faults.ENVIRONMENT, faults.PREPARE) as other:
        both = [
            warm.start(*stage.command("generate", tmp_path / "set"), tmp_path / f"log{number}")
            for number, warm in enumerate((stage.warm, other))
        ]
        assert [started.wait() for started in both] == [0, 0]
    for number in range(2):
        assert "waits for the others" not in (tmp_path / f"log{number}").read_text()
    assert faults.made("generate", tmp_path / "set") == stage.made["generate"]
