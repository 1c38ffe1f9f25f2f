"""Pins exact resume: killed at a random step and restarted, a run ends with the same bits."""

import json
import random
import time

import numpy as np
import orbax.checkpoint as ocp
import pytest

pytestmark = pytest.mark.faults

STEPS = 24  # R1 at steps 0 and 16
ARGS = (
    "--config=tests/smoke.py",
    f"--config.train.duration={STEPS}steps",
    "--config.train.log_every=1",
    "--config.train.sample_every=1000",
    "--config.checkpoint.every=4",
)


def arrays(workdir):
    """All saved arrays of the last step, by path."""
    import jax

    restored = {}
    for item in ("state", "ema"):
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(workdir.absolute() / "checkpoints" / str(STEPS) / item)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            restored[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return restored


@pytest.fixture(scope="module")
def uninterrupted(run_main, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    process = run_main(*ARGS, f"--workdir={workdir}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return arrays(workdir)


def last_step(workdir):
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def pytest_generate_tests(metafunc):
    if "trial" in metafunc.fixturenames:
        metafunc.parametrize("trial", range(metafunc.config.getoption("kill_trials")))


def test_killed_run_ends_with_the_same_bits(trial, uninterrupted, run_main, tmp_path):
    rng = random.Random(trial)
    target = rng.randrange(5, STEPS)
    process = run_main(*ARGS, f"--workdir={tmp_path}")
    while last_step(tmp_path) < target and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    process.kill()
    process.communicate()
    reached = last_step(tmp_path)
    process = run_main(*ARGS, f"--workdir={tmp_path}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    print(f"killed at step {reached}: {[x for x in output.splitlines() if 'resuming' in x]}")
    resumed = arrays(tmp_path)
    assert resumed.keys() == uninterrupted.keys()
    for name, array in uninterrupted.items():
        assert resumed[name].tobytes() == array.tobytes(), name
    steps = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = [row["step"] for row in steps if "loss/G" in row]
    assert logged == list(range(1, STEPS + 1))
