"""Pins whom a workdir refuses: other architectures, second runs, places that cannot be written."""

import logging

import pytest

from dtgan.config import ConfigError, base_config, to_json
from dtgan.runs.workdir import open_workdir
from tests.smoke import FAMILY


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


def test_unreadable_config_is_refused(tmp_path):
    trained(tmp_path, '{"data": 5, "seed"')
    with pytest.raises(ConfigError, match="cannot be read"):
        with open_workdir(tmp_path, base_config(FAMILY)):
            pass


def test_a_run_that_saved_nothing_does_not_claim_its_workdir(tmp_path):
    trained(tmp_path)
    (tmp_path / "checkpoints" / "5").rmdir()
    config = base_config(FAMILY)
    config.model.ch = 32
    with open_workdir(tmp_path, config):
        pass
