"""Every translation family through all verbs: trained, drawn, scored, and used by a classifier."""

import json

import pytest

from dtgan import cli, evaluate, generate
from dtgan.classification import runner, settings
from dtgan.data.procedural import CLASSES
from dtgan.evaluation import domain
from dtgan.training.loop import train_and_evaluate

RECIPES = {
    "defect_gan": "configs/defect_gan.py:smoke",
    "stargan": "configs/defect_gan.py:smoke,scc=0,ani=0,lwc=0,sc=0",
    "cyclegan": "configs/cyclegan.py:smoke",
    "sdgan": "configs/cyclegan.py:smoke,sdgan",
}


@pytest.mark.parametrize("name", RECIPES)
def test_all_verbs(name, domain_weights, tmp_path, monkeypatch):
    config = cli.read_config(RECIPES[name])
    config.train.duration, config.data.batch_size = "2steps", 8
    quick = domain.Recipe(steps=3, batch_size=8)
    one = config.method == "cyclegan"  # class, that it cannot be told
    config.data.classes = "scratch" if one else ""
    run, out, cache = tmp_path / "run", tmp_path / "set", "--compilation_cache="
    state = train_and_evaluate(config, run)
    assert int(state.step) == 2
    common = [f"--workdir={run}", cache]
    assert generate.main([*common, f"--out={out}", "--num_per_class=2", "--no_visibility"]) == 0
    drawn = {path.parent.name for path in (out / "images").glob("*/*.png")}
    assert drawn - {"normal"} == set(config.data.classes.split(",") if one else CLASSES[1:])
    scores = [*common, "--num_fake=12", "--num_pairs=6"]
    scores += [] if one else [f"--weights={domain_weights[0]}"]
    monkeypatch.setattr(domain, "Recipe", lambda: quick)
    assert evaluate.main([*scores, f"--out={tmp_path / 'eval'}"]) == 0
    report = json.loads((tmp_path / "eval/2.json").read_text())
    assert report["overall"]["fid"] > 0 and report["translation"]["change_mae"] > 0
    assert (report["translation"]["painted"] is not None) == (name == "defect_gan")
    assert report["transfer"] is None
    experiment = settings.base_config()
    experiment.data.res, experiment.data.scale_counts, experiment.seeds = 32, 0.03, 1
    experiment.data.classes, experiment.arms = config.data.classes, ("real+classic", "synthetic")
    experiment.train.update(steps=1, val_every=1, batch_size=8)
    found = runner.run(experiment, tmp_path / "verdict", str(out))
    assert found["arms"]["synthetic"]["exposure"]["synthetic"]["scratch"] > 0
