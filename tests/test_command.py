"""Pins the console command: one name for all verbs, their order, their exit codes."""

import importlib.util
import sys

import pytest

from dtgan import command


def test_help_tells_the_verbs_in_their_order(capsys):
    with pytest.raises(SystemExit) as left:
        command.main(["--help"])
    text = capsys.readouterr().out
    places = [text.index(f"\n  {verb} ") for verb in command.VERBS]
    assert left.value.code == 0 and places == sorted(places)


def test_every_verb_is_there():
    assert all(importlib.util.find_spec(module) for module, _ in command.VERBS.values())


def test_no_verb_and_a_wrong_one():
    with pytest.raises(SystemExit) as left:
        command.main([])
    assert left.value.code == 2
    with pytest.raises(SystemExit, match=r"'raport' is no verb \(did you mean 'report'\?\)"):
        command.main(["raport"])


def test_flags_and_exit_codes_are_those_of_the_verb(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["dtgan"])  # restored afterwards
    monkeypatch.delitem(sys.modules, "dtgan.report", raising=False)  # as in a new process
    with pytest.raises(SystemExit) as left:
        command.main(["report", f"--workdir={tmp_path}", "--out=x.html"])
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: --workdir={tmp_path} holds no run")
