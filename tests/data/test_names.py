"""Pins which names of classes are taken from data, whatever their source."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtgan.config import NORMAL, ConfigError
from dtgan.data.names import check_names
from tests.data.folders import audit_of, make, picture, save

pytestmark = pytest.mark.faults

REFUSED = {
    "../out": "separator",
    "a\\b": "separator",
    "..": "dot",
    ".hidden": "dot",
    "a\nb": "control",
    "\x1b[2J": "control",
    "\udcff": "control",
    "": "no text|not a text",
    5: "not a text",
    "a,b": "comma",
    "crack ": "blank",
    "x" * 101: "longer",
    "NORMAL": "reads like",
    "Normal": "reads like",
    "normal ": "blank",
}


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_are_refused(name):
    with pytest.raises(ConfigError, match=REFUSED[name]) as refused:
        check_names((NORMAL, name), "here")
    assert str(refused.value).isprintable()  # the message itself commands no terminal


@pytest.mark.parametrize("pair", [("Crack", "crack"), ("é", "e\u0301"), ("ﬂ", "FL"), ("a", "a")])
def test_names_that_are_one_somewhere(pair):
    with pytest.raises(ConfigError, match="are one to some file systems"):
        check_names((NORMAL, *pair), "here")


@given(st.text(min_size=1))
def test_a_name_that_passes_stays_in_its_folder(name):
    try:
        check_names((NORMAL, name), "here")
    except ConfigError:
        return
    root = pathlib.Path("/set/images")
    assert (root / name / "x.png").resolve().relative_to(root).parts == (name, "x.png")
    assert name.isprintable() or not any(ord(letter) < 32 for letter in name)


def test_folders_of_one_name_lose_no_image(tmp_path):
    """Two Unicode forms of a name: the second folder once took the place of the first."""
    make(tmp_path)
    for form in ("gru\u0308n", "grün"):
        save(tmp_path / "images" / form / "a.png", picture(7))
    with pytest.raises(ConfigError, match="two folders 'grün'"):
        audit_of(tmp_path)


@pytest.mark.parametrize("name", ["NORMAL", "normal ", "Crack"])
def test_folders_that_are_nearly_known_are_asked_about(tmp_path, name):
    make(tmp_path)
    save(tmp_path / "images" / name / "a.png", picture(7))
    with pytest.raises(ConfigError, match="rename"):
        audit_of(tmp_path)
