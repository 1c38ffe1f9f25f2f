"""End-to-end: the binary as a user starts it, its files, errors, signals, NaN, many processes."""

import functools
import json
import signal
import socket
import time

import numpy as np
import pytest
from PIL import Image

from dtgan import images
from dtgan.runs.checkpoints import verified_steps
from dtgan.sampling.sampler import load

SMOKE = "--config=tests/smoke.py"


def finish(process, timeout=300):
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def rows(workdir, name="loss/G"):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {r["step"]: r for r in map(json.loads, lines) if name in r}


@pytest.fixture(scope="module")
def run_toy(run_main):
    """Start the binary on a toy family, which compiles at once: for what holds for any family."""
    return functools.partial(
        run_main,
        "--config=tests/smoke.py:tail",
        "--config.data.classes=scratch",  # it cannot be told which one to draw
        module="tests.methods.toys",
    )


def test_smoke_run_leaves_everything_the_readme_promises(smoke_run):
    workdir, output = smoke_run, smoke_run.with_suffix(".log").read_text()
    good, damaged = verified_steps(workdir / "checkpoints")
    assert good == [2, 4] and not damaged
    items = {"state", "ema", "data", "config"}
    assert items <= {p.name for p in (workdir / "checkpoints" / "4").iterdir()}
    assert sorted(rows(workdir)) == [1, 2, 4]
    assert list(workdir.glob("events.*")) and (workdir / "config.json").exists()
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["step"] == 4
    for name in ("c_agrees", "error_x3", "error_nothing", "error_paste"):
        assert np.isfinite(summary[name])
    # 2 rows of 8 columns of 32 px, enlarged 3 times, and a title.
    grid = images.read_image(workdir / "samples" / "4.png")
    assert grid.shape[1] == 9 * (96 + 2) + 2 and grid.shape[0] == 2 * (96 + 2) + 2 + 18
    assert output.count("compiled step") == 1 and "Traceback" not in output
    assert len(output.splitlines()) < 15, output  # readable: no wall of warnings


def test_same_command_again_has_nothing_to_do(smoke_run, run_main):
    rc, output = finish(run_main(SMOKE, f"--workdir={smoke_run}"))
    assert rc == 0 and "nothing to train" in output


def test_checkpoint_alone_makes_images(smoke_run):
    sampler = load(smoke_run)
    assert (sampler.step, sampler.classes[0], len(sampler.classes)) == (4, "normal", 7)
    rng = np.random.default_rng(0)
    request = {
        n: rng.integers(0, 256, (2, 32, 32, 1), dtype=np.uint8) for n in ("defect", "surface")
    }
    first, again = sampler(request), sampler(request)
    assert first["image"].shape == (2, 32, 32, 1) and first["mask"].max() <= 1
    np.testing.assert_array_equal(first["image"], again["image"])
    with pytest.raises(ValueError, match="good steps: 2, 4"):
        load(smoke_run, 3)


def test_sigterm_while_compiling_ends_well(run_main, tmp_path):
    process = run_main(SMOKE, f"--workdir={tmp_path}", "--config.train.duration=100000steps")
    while not (tmp_path / ".lock").exists():
        time.sleep(0.05)
    time.sleep(0.5)  # before the first step is compiled
    process.send_signal(signal.SIGTERM)
    rc, output = finish(process)
    assert rc == 0 and "stopped" in output and "Traceback" not in output, output


def test_sigterm_at_a_step_that_saves_anyway(run_toy, tmp_path):
    every = [f"--config.{n}=1" for n in ("checkpoint.every", "train.sample_every")]
    long = "--config.train.duration=100000steps"
    process = run_toy(f"--workdir={tmp_path}", long, *every)
    while not (tmp_path / "samples" / "2.png").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    rc, output = finish(process)
    assert rc == 0 and "saved; the same command resumes" in output, output
    good, damaged = verified_steps(tmp_path / "checkpoints")
    assert f"stopped at step {good[-1]}," in output and not damaged


def test_sigint_saves_at_the_next_step_and_resumes(run_toy, tmp_path):
    args = (f"--workdir={tmp_path}", "--config.checkpoint.every=1000000")
    process = run_toy(*args, "--config.train.duration=100000steps")
    while not (tmp_path / "metrics.jsonl").exists() or not rows(tmp_path, "loss/rec"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    rc, output = finish(process)
    assert rc == 0 and "saved; the same command resumes" in output, output
    ((step,), _) = verified_steps(tmp_path / "checkpoints")
    rc, output = finish(run_toy(*args, f"--config.train.duration={step + 3}steps"))
    assert rc == 0 and f"resuming at step {step}" in output, output
    assert verified_steps(tmp_path / "checkpoints")[0][-1] == step + 3


def test_numbers_that_blow_up_stop_the_run_and_keep_the_good_checkpoint(run_toy, tmp_path):
    args = (f"--workdir={tmp_path}", "--config.checkpoint.every=1")
    assert finish(run_toy(*args, "--config.train.duration=2steps"))[0] == 0
    rc, output = finish(run_toy(*args, "--config.optim.lr=1e20", "--config.train.duration=20steps"))
    # A loss, or, where the losses of that step were still finite, what was made of it.
    assert rc == 1 and ("error: loss/" in output or "is not finite after step" in output), output
    assert "Traceback" not in output and "last good checkpoint is kept" in output, output
    good, damaged = verified_steps(tmp_path / "checkpoints")
    assert {1, 2} & set(good) and not damaged and len(good) <= 2


def test_other_architecture_is_refused_before_compiling(smoke_run, run_main):
    rc, output = finish(run_main(SMOKE, f"--workdir={smoke_run}", "--config.model.ch=4"))
    assert rc == 1 and "model.ch=2, this one has model.ch=4" in output
    assert "compiled" not in output and verified_steps(smoke_run / "checkpoints")[0] == [2, 4]


# As many classes as the procedural set has: the compiled programs are the same.
CLASSES = ("normal", "dent", "hole", "line", "ridge", "spot", "tear")


def small_set(root, sizes=(40, 40), classes=CLASSES, count=6):
    rng = np.random.default_rng(0)
    for name in classes:
        (root / "images" / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(0, 256, sizes, dtype=np.uint8)
            Image.fromarray(noise).save(root / "images" / name / f"{name} {i}.png")
    return root


def test_folder_of_images_trains_by_flags(run_main, tmp_path):
    data = small_set(tmp_path / "mein stahl ü")
    flags = ("--config.data.source=folder", f"--config.data.path={data}")
    rc, output = finish(run_main(SMOKE, f"--workdir={tmp_path / 'run'}", *flags))
    assert rc == 0, output
    grid = images.read_image(tmp_path / "run" / "samples" / "4.png")
    assert grid.shape[1] == 8 * 98 + 2  # no true x3
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "c_agrees" in summary and "error_x3" not in summary
    known = json.loads((tmp_path / "run" / "data.json").read_text())
    assert known["accounts"]["train"]["dent"]["pictures"] == 4 and not known["findings"]


def bad_inputs(tmp_path):
    """(arguments, words of the one line) of every mistake that needs a process of its own."""
    folder = ("--config.data.source=folder",)
    small_set(tmp_path / "no normal", classes=CLASSES[1:])
    small_set(tmp_path / "tiny", sizes=(20, 50))
    single = small_set(tmp_path / "single")
    for path in sorted((single / "images" / "dent").iterdir())[1:]:
        path.unlink()
    broken = small_set(tmp_path / "broken")
    (broken / "images" / "dent" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return [
        (("--config.data.sorce=folder",), "sorce"),
        (("--config.data.res=big",), "data.res"),
        (("--config.data.batch_size=3",), "not divisible by 2 devices"),
        ((*folder, f"--config.data.path={tmp_path / 'missing'}"), "missing"),
        ((*folder, f"--config.data.path={tmp_path / 'no normal'}"), "normal"),
        ((*folder, f"--config.data.path={single}"), "1 image"),
        ((*folder, f"--config.data.path={tmp_path / 'tiny'}"), "smaller than data.res=32"),
        ((*folder, f"--config.data.path={broken}"), "cut.png"),
        (("--workdir=/proc/nowhere",), "cannot be written"),
    ]


def test_bad_input_gets_one_line_before_compiling(run_main, tmp_path):
    cases = bad_inputs(tmp_path)
    for args, words in cases:
        process = run_main(SMOKE, f"--workdir={tmp_path / 'run'}", *args, devices=2)
        rc, output = finish(process)
        lines = [line for line in output.splitlines() if line.startswith("error: ")]
        assert rc != 0 and len(lines) == 1 and words in output, (args, output)
        assert "Traceback" not in output and "compiled" not in output, (args, output)


def test_two_runs_in_one_workdir(run_toy, tmp_path):
    first = run_toy(f"--workdir={tmp_path}", "--config.train.duration=100000steps")
    while not (tmp_path / "metrics.jsonl").exists():
        time.sleep(0.05)
    rc, output = finish(run_toy(f"--workdir={tmp_path}"))
    assert rc == 1 and "in use by another run" in output and "compiled" not in output
    first.send_signal(signal.SIGTERM)
    rc, output = finish(first)
    assert rc == 0, output  # and the first one lost nothing


def start_pair(run_toy, *args):
    """Two processes of one device each that share a job -> their (rc, output)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = (f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
    pair = [run_toy(*args, *job, f"--process_id={i}") for i in range(2)]
    return [finish(process) for process in pair]


def test_two_processes_give_the_losses_of_one(run_toy, tmp_path):
    """Same global batch, two devices: in one process, and in two of one device each, resumed."""
    args = ("--config.train.log_every=1",)
    rc, output = finish(run_toy(*args, f"--workdir={tmp_path / 'one'}", devices=2))
    assert rc == 0, output
    args = (*args, f"--workdir={tmp_path / 'two'}")
    for duration in ("2steps", "4steps"):
        for rc, output in start_pair(run_toy, *args, f"--config.train.duration={duration}"):
            assert rc == 0, output
    for name, steps in (("loss/rec", [1, 2, 3, 4]), ("loss/gain", [2, 4])):
        one, two = (rows(tmp_path / count, name) for count in ("one", "two"))
        assert sorted(one) == sorted(two) == steps
        for step in one:
            # Adam amplifies rounding from step to step.
            rtol = 1e-5 * 10 ** (step - 1)
            np.testing.assert_allclose(two[step][name], one[step][name], rtol=rtol)
    # What process 0 refuses ends both, with a line each.
    for rc, output in start_pair(run_toy, *args, "--config.model.ch=4"):
        assert rc == 1 and "error: " in output and "compiled" not in output, output


def test_bad_files_are_skipped_on_demand_and_counted(run_toy, tmp_path):
    broken = small_set(tmp_path / "broken", classes=("normal", "dent"))
    (broken / "images" / "dent" / "cut.png").write_bytes(b"\x89PNG")
    flags = ("--config.data.source=folder", f"--config.data.path={broken}")
    flags = (*flags, "--config.data.classes=dent")
    rc, output = finish(
        run_toy(f"--workdir={tmp_path / 'run'}", *flags, "--config.data.skip_bad=True")
    )
    assert rc == 0 and "(1 bad files skipped)" in output, output


def test_dry_run_prints_fields_parameters_and_speed(run_main):
    rc, output = finish(run_main(SMOKE, "--dry_run"))
    assert rc == 0, output
    for words in ('"batch_size": 2', "compile: r1", "GFLOP", "steps/s", "Dpatch", "block0"):
        assert words in output
