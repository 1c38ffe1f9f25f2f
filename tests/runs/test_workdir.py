"""Pins whom a workdir refuses: other architectures, second runs, places that cannot be written."""

import logging

import pytest

from dtgan.config import ConfigError, base_config, to_json
from dtgan.runs.workdir import open_workdir
from tests.smoke import FAMILY

pytestmark = pytest.mark.faults


def trained(path, text=None):
    """A workdir with a checkpoint."""
    (path / "config.json").write_text(text or to_json(base_config(FAMILY)))
    (path / "checkpoints" / "5").mkdir(parents=True)


def test_second_run_is_refused_until_the_first_ends(tmp_path):
    config = base_config(FAMILY)
    with open_workdir(tmp_path, config), pytest.raises(ConfigError, match="in use by another run"):
        with open_workdir(tmp_path, config):
            pass
    with open_workdir(tmp_path, config):
        pass


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/dtgan"):
        with pytest.raises(ConfigError, match=r"cannot be written .*; use --workdir=DIR"):
            with open_workdir(path, base_config(FAMILY)):
                pass


def test_other_architecture_is_refused_with_the_difference(tmp_path):
    trained(tmp_path)
    config = base_config(FAMILY)
    config.model.ch = 32
    with pytest.raises(ConfigError, match=r"model.ch=16, this one has model.ch=32"):
        with open_workdir(tmp_path, config):
            pass


def test_other_learning_rate_is_allowed_and_logged(tmp_path, caplog):
    trained(tmp_path)
    config = base_config(FAMILY)
    config.optim.lr = 0.001
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.INFO, "dtgan"), open_workdir(tmp_path, config):
        assert "optim.lr=0.001 (was optim.lr=0.004)" in caplog.text


@pytest.mark.parametrize("content", [b"", b'{"data": 5, "se', b"[1]", b"\xff\xfe", None])
def test_a_damaged_config_is_set_aside_and_read_from_a_checkpoint(content, tmp_path, caplog):
    trained(tmp_path)
    file = tmp_path / "config.json"
    saved = tmp_path / "checkpoints" / "5" / "config"
    saved.mkdir()
    (saved / "metadata").write_text(file.read_text())
    (tmp_path / "checkpoints" / "7").mkdir()  # damaged, too
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    config = base_config(FAMILY)
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.WARNING, "dtgan"), open_workdir(tmp_path, config):
        assert not file.exists()
    assert caplog.text.count("set aside as config.json.damaged") == (content is not None)
    assert content is None or (tmp_path / "config.json.damaged").read_bytes() == content
    config.model.ch = 32
    with pytest.raises(ConfigError, match=r"model.ch=16, this one has model.ch=32"):
        with open_workdir(tmp_path, config):
            pass


@pytest.mark.parametrize("text", ['{"data": 5}', '{"method": 3}', '{"seed": "x", "method": ""}'])
def test_a_config_of_other_types_is_refused_in_a_line(text, tmp_path):
    trained(tmp_path, text)
    with pytest.raises(ConfigError, match=r"not of type|names no method|is unknown") as refused:
        with open_workdir(tmp_path, base_config(FAMILY)):
            pass
    assert "\n" not in str(refused.value)


def test_a_run_that_saved_nothing_does_not_claim_its_workdir(tmp_path):
    trained(tmp_path)
    (tmp_path / "checkpoints" / "5").rmdir()
    config = base_config(FAMILY)
    config.model.ch = 32
    with open_workdir(tmp_path, config):
        pass
