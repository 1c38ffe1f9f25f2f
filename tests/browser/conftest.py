"""Headless Chromium for tests of pages; nothing that a page asks for may lie elsewhere."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

# As root Chromium has no sandbox; painting needs WebGL, which is computed on the CPU.
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def chromium():
    """The browser, of the system: Playwright's own is not downloaded."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
