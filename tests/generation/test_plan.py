"""Pins which images a set is made of: balance, order, shards, refusals."""

import collections
import types

import numpy as np
import pytest

from dtgan.config import ConfigError, base_config
from dtgan.generation import runner, sources
from dtgan.generation.plan import BLOCK, Plan, Settings

CLASSES = ("normal", "crack", "spot", "hole")
LABELS = np.array([0] * 9 + [1] * 5 + [2] * 3)  # no image of a hole


def plan(num=40, kinds=("defect", "normal"), **fields):
    settings = Settings(num, **{"classes": ("crack", "spot")} | fields)
    return Plan(settings, CLASSES, kinds, LABELS, 9)


def test_every_class_has_its_number_and_every_defect_its_turn():
    p = plan()
    numbers = [n for block in range(p.num_blocks) for n in p.numbers(block)]
    assert numbers == list(range(80))
    assert collections.Counter(map(p.label, numbers)) == {1: 40, 2: 40}
    used = collections.Counter(p.pair(n, 0)[0] for n in numbers)
    assert {used[i] for i in range(9, 14)} == {8}
    assert {used[i] for i in range(14, 17)} <= {13, 14}
    surfaces = collections.Counter(p.pair(n, 0)[1] for n in numbers)
    assert set(surfaces) == set(range(9)) and max(surfaces.values()) - min(surfaces.values()) <= 1
    assert all(LABELS[p.pair(n, attempt)[0]] == p.label(n) for n in numbers for attempt in (0, 3))


def test_a_plan_is_a_function_of_its_settings():
    numbers = range(80)
    pairs = [plan().pair(n, a) for n in numbers for a in (0, 1)]
    assert pairs == [plan().pair(n, a) for n in numbers for a in (0, 1)]
    assert pairs != [plan(seed=1).pair(n, a) for n in numbers for a in (0, 1)]


def test_defects_that_the_model_does_not_find_are_not_drawn_from():
    left = plan().without({9, 12, 14})
    used = {left.pair(n, attempt)[0] for n in range(80) for attempt in (0, 1)}
    assert used == {10, 11, 13, 15, 16}
    assert plan().pair(0, 0) == plan().without(set()).pair(0, 0)
    with pytest.raises(ConfigError, match="'spot': the model finds none of its 3 defects"):
        plan().without({14, 15, 16})


def test_a_class_of_which_the_model_finds_less_than_half_is_named(caplog):
    masks = {i: np.full((4, 4, 1), 255 * (i in (9, 10, 14, 15)), np.uint8) for i in range(9, 17)}
    defects = types.SimpleNamespace(labels=LABELS, classes=CLASSES)
    left = runner._without_unseen(plan(), masks, defects)
    assert {left.pair(n, 0)[0] for n in range(80)} == {9, 10, 14, 15}
    crack, spot = caplog.messages
    assert crack.startswith("crack: 3 of 5 defects are not found") and "--classes" in crack
    assert spot == "spot: 1 of 3 defects are not found in their own images; not drawn from"


@pytest.mark.parametrize("kinds", [(), ("defect",), ("normal",)])
def test_only_the_images_that_the_model_needs_are_drawn(kinds):
    """They are those of the plan with both; a class without defect images can then be asked for."""
    whole, part = plan(), plan(kinds=kinds)
    for number in range(80):
        for attempt in (0, 1):
            defect, surface = part.pair(number, attempt)
            assert (defect is None, surface is None) == (
                "defect" not in kinds,
                "normal" not in kinds,
            )
            if not attempt:
                both = whole.pair(number, attempt)
                assert defect in (None, both[0]) and surface in (None, both[1])
    if "defect" not in kinds:
        alone = Plan(Settings(2), CLASSES, kinds, num_surfaces=9)
        assert [alone.label(number) for number in range(6)] == [1, 1, 2, 2, 3, 3]


def test_shards_share_the_blocks():
    p = plan(5 * BLOCK)
    assert sorted(b for i in range(3) for b in p.shard(f"{i}/3")) == list(range(p.num_blocks))


@pytest.mark.parametrize("text", ["3/3", "1", "a/2", "-1/2", "1/0"])
def test_impossible_shards_are_refused(text):
    with pytest.raises(ConfigError, match=r"not i/n with 0 <= i < n"):
        plan().shard(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num": 0}, "num_per_class=0 is not at least 1"),
        ({"classes": ("crak",)}, r"'crak' is no defect class .*did you mean 'crack'"),
        ({"classes": ("normal",)}, "'normal' is no defect class"),
        ({"classes": ("spot", "spot")}, "names a class twice"),
        ({"classes": ("hole",)}, "no defect image of class 'hole'"),
        ({"classes": ()}, "no defect image of class 'hole'"),
        ({"strength": 0.0}, "strength=0.0 is not above 0"),
        ({"strength": float("nan")}, "strength=nan is not above 0"),
        ({"mask_threshold": 1.0}, "mask_threshold=1.0 is outside"),
        ({"instances": "boxes"}, "instances=boxes is not one of parts, whole"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        plan(**fields)


def test_data_that_were_moved_name_the_flag(tmp_path):
    config = base_config()
    config.data.source, config.data.path = "folder", str(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"gone is not a folder; .*; moved\? --data_path=DIR"):
        sources.open_trained(config)
