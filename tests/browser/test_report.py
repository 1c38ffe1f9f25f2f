"""Pins the report as a browser shows it: no request, no error, pictures, slider, names as text."""

from typing import NamedTuple

import pytest

from dtgan import report
from tests.pages import made_up


class Shown(NamedTuple):
    """A page as it was loaded: playwright's Page, and what it asked for and complained of."""

    page: object
    requests: list
    complaints: list


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A made-up run with all that a report shows; and another one, not evaluated."""
    root = tmp_path_factory.mktemp("made")
    made_up.evaluation(made_up.run(root / "run"))
    made_up.generated(root / "set")
    made_up.verdict(root / "verdict")
    made_up.run(root / "other" / "run", ended=False)
    return root


@pytest.fixture(scope="module")
def shown(chromium, made):
    parts = [f"--{name}={made / name}" for name in ("set", "verdict")]
    return _load(chromium, made, f"--workdir={made / 'run'}", *parts)


def _load(chromium, made, *flags):
    out = made / "report.html"
    assert report.main([*flags, f"--out={out}"]) == 0
    page, requests, complaints = chromium.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
    page.goto(out.as_uri())
    return Shown(page, [url for url in requests if not url.startswith("data:")], complaints)


def test_no_request_leaves_the_page_and_nothing_is_wrong(shown):
    assert [url.rpartition("/")[2] for url in shown.requests] == ["report.html"]
    assert not shown.complaints


def test_all_pictures_are_there(shown):
    sizes = shown.page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    # 3 classes of 4 pictures; 4 grids; 2 classes of 3 ranks of hybrids in 5 columns; copies; a set
    # of 2 classes of 3, one of which leads out of its folder.
    assert len(sizes) == 12 + 4 + 60 + 1 + 5 and min(sizes) > 0
    assert len(shown.page.query_selector_all("svg.plot")) == 6
    assert shown.page.eval_on_selector("svg.plot", "one => one.getBoundingClientRect().width") > 200


def test_the_slider_goes_through_the_training(shown):
    slider = shown.page.locator(".slider")
    visible = slider.locator("img:visible")
    assert visible.get_attribute("alt") == "Samples at step 400" and visible.count() == 1
    slider.locator("input").press("Home")
    assert visible.get_attribute("alt") == "Samples at step 100" and visible.count() == 1
    slider.locator("input").press("ArrowRight")
    assert slider.locator("output").text_content() == "step 200"


def test_names_are_text(shown):
    text = shown.page.inner_text("body")
    assert made_up.EVIL in text and made_up.CLASSES[2] in text
    assert not shown.page.query_selector_all("img[src=x]")
    labels = shown.page.eval_on_selector_all("svg text", "all => all.map(one => one.textContent)")
    assert {made_up.EVIL, made_up.CLASSES[2]} <= set(labels)


def test_runs_compared(chromium, made):
    found = _load(chromium, made, *(f"--workdir={made / name}" for name in ("run", "other/run")))
    assert not found.complaints and len(found.requests) == 1
    text = found.page.inner_text("body")
    assert "made-up" not in text and "other/run" in text and "Not evaluated: other/run" in text
