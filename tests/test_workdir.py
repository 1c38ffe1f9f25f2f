"""Pins whom a workdir refuses: other architectures, second runs, places that cannot be written."""

import logging

import pytest

from dtgan.config import ConfigError, base_config
from dtgan.workdir import open_workdir, write_config


def test_second_run_is_refused_until_the_first_ends(tmp_path):
    config = base_config()
    with open_workdir(tmp_path, config), pytest.raises(ConfigError, match="in use by another run"):
        with open_workdir(tmp_path, config):
            pass
    with open_workdir(tmp_path, config):
        pass


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/dtgan"):
        with pytest.raises(ConfigError, match=r"cannot be written .*; use --workdir=DIR"):
            with open_workdir(path, base_config()):
                pass


def test_other_architecture_is_refused_with_the_difference(tmp_path):
    write_config(tmp_path, base_config())
    config = base_config()
    config.model.ch = 32
    with pytest.raises(ConfigError, match=r"model.ch=16, this one has model.ch=32"):
        with open_workdir(tmp_path, config):
            pass


def test_other_learning_rate_is_allowed_and_logged(tmp_path, caplog):
    write_config(tmp_path, base_config())
    config = base_config()
    config.optim.lr = 0.001
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.INFO, "dtgan"), open_workdir(tmp_path, config):
        assert "optim.lr=0.001 (was optim.lr=0.002)" in caplog.text


def test_unreadable_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        with open_workdir(tmp_path, base_config()):
            pass
