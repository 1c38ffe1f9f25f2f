"""Pins donors and toy families through the whole program: train, resume, evaluate, generate."""

import json
import shutil
import time
from unittest import mock

import jax
import numpy as np
import pytest
from PIL import Image

from dtgan import cli, evaluate, export, generate
from dtgan.config import ConfigError
from dtgan.evaluation import domain
from dtgan.runs import checkpoints
from dtgan.sampling import requests, sampler
from dtgan.sampling.sampler import find_step, load
from dtgan.training import programs
from dtgan.training.loop import train_and_evaluate
from tests.methods import toys

QUICK = domain.Recipe(steps=2, batch_size=8)


@pytest.fixture(scope="module", autouse=True)
def with_toys():
    with toys.registered():
        yield


def train(name, workdir, **fields):
    """Train a toy on tears alone, with fields such as init__workdir."""
    config = cli.read_config(f"tests/smoke.py:{name}")
    config.data.classes = "tear"
    config.data.batch_size = 8
    for field, value in fields.items():
        group, leaf = field.split("__")
        config[group][leaf] = value
    return train_and_evaluate(config, workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of every toy."""
    root = tmp_path_factory.mktemp("toys")
    for name in ("dots", "square"):
        train(name, root / name)
    train("tail", root / "tail", init__workdir=str(root / "dots"))
    return root


def parameters(workdir, step):
    return jax.tree.map(np.asarray, load(workdir, step).ema["G"])


def net(workdir, step):
    """The parameters of G that a checkpoint would go on from."""
    abstract = sampler.describe(workdir, step)[3]
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return checkpoints.restore_state(workdir, step, abstract, device).nets["G"].params


def test_a_run_starts_from_its_donor_and_says_so(runs, tmp_path):
    train("tail", tmp_path, init__workdir=str(runs / "dots"), train__duration="1steps")
    donor, new = net(runs / "dots", 4), net(tmp_path, 1)
    np.testing.assert_array_equal(new["gain"], donor["gain"])  # learns in the second step
    assert 0 < np.abs(new["mean"] - donor["mean"]).max() < 0.02
    data = checkpoints.read_json_item(tmp_path, 1, "data")
    digest = checkpoints.step_digest(runs / "dots", 4)
    assert data["donor"] == {"workdir": str(runs / "dots"), "step": 4, "digest": digest}


def test_a_kill_amid_the_first_save_does_not_cost_the_donor(runs, tmp_path):
    """What it leaves is no checkpoint: the next start once began from random parameters."""
    (tmp_path / "checkpoints" / "1.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    train("tail", tmp_path, init__workdir=str(runs / "dots"), train__duration="1steps")
    np.testing.assert_array_equal(net(tmp_path, 1)["gain"], net(runs / "dots", 4)["gain"])


def test_phases_run_in_their_rhythm(runs):
    rows = [json.loads(line) for line in (runs / "tail" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 4]
    assert ["loss/gain" in row for row in rows] == [False, True, True]


def test_a_resumed_run_needs_its_donor_no_more(runs, tmp_path, caplog):
    copy = tmp_path / "donor"
    shutil.copytree(runs / "dots", copy)
    train("tail", tmp_path / "run", init__workdir=str(copy))
    shutil.rmtree(copy)
    with caplog.at_level("INFO", logger="dtgan"):
        state = train("tail", tmp_path / "run", init__workdir=str(copy), train__duration="6steps")
    assert int(state.step) == 6
    assert f"the donor {copy}, step 4, is gone" in caplog.text
    assert checkpoints.read_json_item(tmp_path / "run", 6, "data")["donor"]["step"] == 4
    with pytest.raises(ConfigError, match="is not a directory; give that of a finished run"):
        train("tail", tmp_path / "other", init__workdir=str(copy))


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (
            "tail",
            {"data__res": 64},
            r"G\['gain'\] is \(32, 32, 1\) there and \(64, 64, 1\)",
        ),
        ("dots", {}, "method=dots cannot start from another run; leave it out"),
        ("tail", {"init__step": "3"}, "has no good checkpoint 3; good steps: 2, 4"),
        ("tail", {"init__step": "newest"}, "init.step='newest' is not latest, best or a number"),
        ("tail", {"data__classes": "taer"}, "'taer' is no defect class .*did you mean 'tear'"),
        ("tail", {"data__classes": "normal"}, "'normal' is no defect class"),
        ("tail", {"data__classes": "tear,tear"}, "does not name each class once"),
    ],
)
def test_what_does_not_fit_is_refused_before_compiling(
    runs, tmp_path, monkeypatch, name, fields, message
):
    monkeypatch.setattr("dtgan.training.programs.Programs", None)
    fields = {"init__workdir": str(runs / "dots")} | fields
    with pytest.raises(ConfigError, match=message) as error:
        train(name, tmp_path, **fields)
    assert "\n" not in str(error.value)


def test_a_donor_deleted_meanwhile_is_told_in_one_line(runs, tmp_path, monkeypatch):
    copy = tmp_path / "donor"
    shutil.copytree(runs / "dots", copy)
    init_state = programs.init_state

    def deleting(*args):
        shutil.rmtree(copy)
        return init_state(*args)

    monkeypatch.setattr(programs, "init_state", deleting)
    with pytest.raises(ConfigError, match="step 4 was deleted meanwhile; run the same command"):
        train("tail", tmp_path / "run", init__workdir=str(copy))


def test_another_family_is_no_donor(runs, tmp_path):
    with pytest.raises(ConfigError, match="a run of method=square; tail takes dots"):
        train("tail", tmp_path, init__workdir=str(runs / "square"))


def test_a_run_without_parameters_ends_at_once_and_again(runs, caplog):
    assert find_step(runs / "square", "latest") == 0
    with caplog.at_level("INFO", logger="dtgan"):
        train("square", runs / "square")
    assert "method=square has no parameters: nothing to train" in caplog.text
    assert (runs / "square" / "samples" / "0.png").exists()
    assert json.loads((runs / "square" / "summary.json").read_text()) == {"step": 0}


@pytest.mark.parametrize("name", list(toys.TOYS))
def test_every_toy_is_evaluated_generated_and_exported(runs, tmp_path, monkeypatch, name):
    monkeypatch.setattr(domain, "Recipe", lambda: QUICK)
    flags = [f"--workdir={runs / name}", "--compilation_cache="]
    assert evaluate.main([*flags, "--num_fake=12", f"--out={tmp_path / 'eval'}"]) == 0
    (file,) = (tmp_path / "eval").glob("*.json")
    report = json.loads(file.read_text())
    assert report["transfer"] is None and "carries no defect" in report["notes"]["transfer"]
    assert report["overall"]["num_fake"] > 0 and report["copies"]["rate"] is not None

    out = tmp_path / "set"
    assert generate.main([*flags, "--num_per_class=3", f"--out={out}"]) == 0
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    made = [record for record in records if record["synthetic"]]
    assert [record["class"] for record in made] == ["tear"] * 3
    masks = name == "square"
    assert all(("mask" in record) == masks for record in made)
    assert (out / "annotations" / "instances_train.json").exists() == masks
    pixels = [np.asarray(Image.open(out / record["file"])) for record in made]
    assert len({p.tobytes() for p in pixels}) == 3  # noise, or another surface

    kinds = "--format=stablehlo,safetensors,onnx"
    assert export.main([*flags, f"--out={tmp_path / 'files'}", kinds]) == 0
    described = json.loads((tmp_path / "files" / "generator.json").read_text())
    assert set(described["inputs"]) == ({"surface", "labels"} if masks else {"noise_z"})


def test_a_trained_run_goes_on_with_a_new_product_line(smoke_run, run_main, tmp_path):
    """Procedural steel as two lines: all classes, then two, each on a surface of its own."""
    flags = [
        "--config=tests/smoke.py",
        f"--config.init.workdir={smoke_run}",
        "--config.data.classes=tear,mark",
        "--config.data.shortcut=1.0",
        "--config.train.duration=2steps",
    ]
    process = run_main(*flags, f"--workdir={tmp_path}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert f"starting from {smoke_run}, step 4" in output
    assert "the class outputs of D and C start anew" in output
    assert "mark 3, tear 3;" in output  # the two defect classes, in the order of the data
    line = load(tmp_path)
    assert line.classes == ("normal", "mark", "tear")
    before, after = (sampler.load(run).ema for run in (smoke_run, tmp_path))
    decay = line.config.optim.ema
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        # Two steps of a slow mean from the donor's: far nearer to it than random parameters.
        assert np.abs(np.asarray(a) - np.asarray(b)).max() < 4 * (1 - decay) * 2


def test_best_is_the_lowest_kid_where_a_family_has_no_score(runs, tmp_path):
    copy = tmp_path / "dots"
    shutil.copytree(runs / "dots", copy)
    with pytest.raises(ConfigError, match=r"no checkpoint with a score; run python -m dtgan\.eval"):
        find_step(copy, "best")
    (copy / "eval").mkdir()
    for step, kid in ((2, 5.0), (4, 7.0)):
        report = {"overall": {"kid_x1e3": kid}}
        (copy / "eval" / f"{step}.json").write_text(json.dumps(report))
    assert find_step(copy, "best") == 2


def test_a_model_that_cannot_be_told_the_class_learns_and_draws_one_only(tmp_path, capsys):
    two = {"data__classes": "tear,mark", "train__duration": "1steps"}
    with pytest.raises(ConfigError, match="cannot be told which of 2 classes to draw"):
        train("dots", tmp_path / "run", **two)
    assert not (tmp_path / "run/checkpoints").exists()
    with mock.patch.object(requests, "check_classes"):  # a run of before
        train("dots", tmp_path / "run", **two)
    flags = [f"--workdir={tmp_path / 'run'}", "--compilation_cache="]
    assert generate.main([*flags, "--num_per_class=3", f"--out={tmp_path / 'set'}"]) == 1
    assert "cannot be told which of 2 classes to draw" in capsys.readouterr().err


def test_two_phases_and_a_donor_resume_after_a_kill_to_the_same_bits(runs, run_main, tmp_path):
    flags = [
        "--config=tests/smoke.py:tail",
        "--config.data.classes=tear",
        f"--config.init.workdir={runs / 'dots'}",
        "--config.train.duration=40steps",
        "--config.train.log_every=1",
    ]

    def start(workdir):
        return run_main(*flags, f"--workdir={workdir}", module="tests.methods.toys")

    def finish(process):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    finish(start(tmp_path / "whole"))
    process = start(tmp_path / "killed")
    rows = tmp_path / "killed" / "metrics.jsonl"
    while process.poll() is None and not (rows.exists() and '"step": 11' in rows.read_text()):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert "resuming at step" in finish(start(tmp_path / "killed"))
    whole, resumed = (parameters(tmp_path / name, 40) for name in ("whole", "killed"))
    assert all(whole[name].tobytes() == resumed[name].tobytes() for name in whole)
