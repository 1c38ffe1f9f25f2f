"""Pins the tab of the data audit: findings with pictures, names as text, and data without files."""

import numpy as np
import pytest
from PIL import Image

from dtgan.config import base_config, shrink
from dtgan.data import catalog
from dtgan.studio import findings
from dtgan.studio.markup import line

BOLD = "<b onclick=alert(1)>{{x}}${y}"  # a file may be called so


@pytest.fixture
def config(tmp_path):
    """A run on a folder with a copy, an unreadable file and a name full of markup."""
    rng = np.random.default_rng(0)
    for name in ("normal", "scratch"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(4):
            pixels = rng.integers(0, 256, (32, 40), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{k}.png")
    first = (tmp_path / "images/normal/0.png").read_bytes()
    (tmp_path / f"images/normal/{BOLD}.png").write_bytes(first)
    (tmp_path / "images/scratch/broken.png").write_bytes(b"\x89PNG")
    config = base_config("paste")
    shrink(config)
    config.data.source, config.data.path, config.data.skip_bad = "folder", str(tmp_path), True
    return config


def test_findings_have_pictures_and_names_are_text(config):
    page = findings.page(config, catalog.open_source(config, "train"))
    assert "Errors: 1. Warnings: 1." in page and "<td>normal</td>" in page
    assert page.count('src="data:image/png;base64,') == 1 and "cannot be shown" in page
    assert "images/scratch/broken.png" in page and "unreadable" in page
    assert "&lt;b onclick=alert(1)&gt;&#123;&#123;x}}&#36;&#123;y}" in page and "<b " not in page


def test_data_that_cannot_be_read_are_told(config):
    config.data.path = "/no/such/folder"
    assert "data.path=/no/such/folder is not a folder" in findings.page(config, None)


def test_many_findings_are_counted(config, monkeypatch):
    monkeypatch.setattr(findings, "SHOWN", 1)
    assert "and 1 more: python -m dtgan.audit --path=" in findings.page(config, None)


def test_a_run_without_files_says_so():
    config = base_config("paste")
    shrink(config)
    page = findings.page(config, catalog.open_source(config, "train"))
    assert "data.source=procedural: no files to check" in page


def test_a_line_is_text():
    assert line("<i>", "bad") == '<div class="say bad">&lt;i&gt;</div>'
