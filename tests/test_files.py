"""Pins that files appear whole, outlive a power cut, and are set aside by name when damaged."""

import errno
import os

import pytest

from dtgan import files
from dtgan.config import ConfigError

pytestmark = pytest.mark.faults


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls, path = [], tmp_path / "a.json"
    monkeypatch.setattr(
        os, "fsync", lambda number: calls.append(os.readlink(f"/proc/self/fd/{number}"))
    )
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), rename(*names)))
    files.write_atomic(path, "{}")
    assert calls == [str(files.part_of(path)), "rename", str(tmp_path)]


def test_many_files_reach_the_disk_together_and_their_names_after_them(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        os, "fsync", lambda number: calls.append(os.readlink(f"/proc/self/fd/{number}"))
    )
    paths = [tmp_path / name / f"{k}" for name in "ab" for k in range(3)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        files.write_atomic(path, "x", wait=False)
    assert not calls
    files.sync_all(paths)
    assert sorted(calls[:6]) == sorted(map(str, paths))
    assert sorted(calls[6:]) == [str(tmp_path / name) for name in "ab"]
    with pytest.raises(FileNotFoundError):
        files.sync_all([tmp_path / "c"])


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_atomic(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        files.write_atomic(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_damaged_json_is_set_aside_under_the_next_free_name(tmp_path, content):
    path = tmp_path / "a.json"
    assert files.read_json(path) is None
    for name in ("a.json.damaged", "a.json.damaged1"):
        path.write_bytes(content)
        assert files.read_json(path) is None and not path.exists()
        assert (tmp_path / name).read_bytes() == content
    path.write_text('{"a": 1}')
    assert files.read_json(path) == {"a": 1}


def test_a_directory_whose_description_is_damaged_is_not_added_to(tmp_path):
    path = tmp_path / "plan.json"
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"plan.json is damaged .* use another directory"):
        files.same_or_refuse(path, {"seed": 0}, "a set")
    assert path.exists()
