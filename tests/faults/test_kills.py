"""Pins that what is killed at any moment, and started again, ends with the same bits.

`python -m benchmarks.faults --trials=1000` is the long form.
"""

import numpy as np
import pytest

from benchmarks import faults
from benchmarks.warm import Warm

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Warm(faults.ENVIRONMENT, faults.PREPARE) as warm:
        yield faults.Stage(warm, tmp_path_factory.mktemp("faults"))


# Trials whose kills come before two thirds of the way: where the undisturbed run was slowed down by
# others, later ones may come after the end.
@pytest.mark.parametrize(
    ("verb", "numbers"),
    [("train", (3, 16, 29)), ("generate", (4, 9)), ("classify", (10, 26)), ("evaluate", (7,))],
)
def test_killed_and_started_again_it_ends_with_the_same_bits(stage, verb, numbers):
    rows = [stage.trial(verb, number) for number in numbers]
    assert [row["changed"] for row in rows] == [[]] * len(rows)
    kills = [kill for row in rows for kill in row["kills"]]
    assert kills, "every start was quicker than its kill"
    assert max((kill.get("lost", 0) for kill in kills), default=0) <= faults.EVERY


def test_a_stage_tells_two_results_apart(stage):
    """Or the test above would pass with any."""
    assert len({str(made) for made in stage.made.values()}) == len(stage.made)
    other = stage.root / "other"
    module, args = stage.command("generate", other)
    stage.warm.run(module, [*args, "--seed=1"], stage.log)
    assert faults.made("generate", other) != stage.made["generate"]


def test_the_goodput_is_that_of_a_simulation():
    """And without kills it is that of the saves alone."""
    assert faults.goodput(100.0, 25.0, 50.0, 1e9) == pytest.approx(0.8)
    rng, clock, number = np.random.default_rng(0), 0.0, 4000
    for _ in range(number):
        need = 30.0 + 2.0  # work and a save
        while (killed := rng.exponential(100.0)) < need:
            clock, need = clock + killed, 10.0 + 30.0 + 2.0  # after a restart, all again
        clock += need
    assert number * 30.0 / clock == pytest.approx(faults.goodput(30.0, 2.0, 10.0, 100.0), rel=0.03)
