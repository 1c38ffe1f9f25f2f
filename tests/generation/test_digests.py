"""Pins the digests of a set: sha256sum takes them, and they notice every change."""

import shutil
import subprocess

import pytest

from dtgan.config import ConfigError
from dtgan.files import part_of
from dtgan.generation import digests
from dtgan.generation.dataset import Dataset

pytestmark = pytest.mark.faults


def test_sha256sum_agrees_and_changes_are_told(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("images/a b.png", "manifest.jsonl", ".x.1.part", "plan.json"):
        (tmp_path / name).write_text(name)
    digests.write(tmp_path)
    assert len((tmp_path / digests.FILE).read_text().splitlines()) == 2
    if shutil.which("sha256sum"):
        command = ["sha256sum", "--strict", "-c", digests.FILE]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert digests.faults(tmp_path) == []
    (tmp_path / "images/a b.png").write_text("other")
    (tmp_path / "manifest.jsonl").unlink()
    assert digests.faults(tmp_path) == ["images/a b.png has changed", "manifest.jsonl is missing"]


@pytest.mark.parametrize("content", [None, b"\xff\n"])
def test_digests_that_are_gone_or_damaged_are_told(tmp_path, content):
    if content is not None:
        (tmp_path / digests.FILE).write_bytes(content)
    assert len(digests.faults(tmp_path)) == 1


def test_what_a_kill_leaves_of_the_first_file_is_no_other_set(tmp_path):
    part_of(tmp_path / "plan.json").write_text('{"se')
    Dataset(tmp_path, {"seed": 0})
    assert (tmp_path / "plan.json").exists() and (tmp_path / ".parts").is_dir()
    with pytest.raises(ConfigError, match="holds a set with seed=0"):
        Dataset(tmp_path, {"seed": 1})
    (tmp_path / "plan.json").unlink()
    with pytest.raises(ConfigError, match="is not empty and holds no such set"):
        Dataset(tmp_path, {"seed": 0})


def test_a_complete_set_is_opened_and_left_as_it_is(tmp_path):
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "plan.json").write_text('{"seed": 0}')
    assert Dataset(tmp_path, {"seed": 0}).complete and not (tmp_path / ".parts").exists()
