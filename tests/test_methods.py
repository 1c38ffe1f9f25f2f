"""Pins the grid of methods: budgets, what starts from what, failures, and that it goes on."""

import json
import subprocess

import numpy as np
import pytest

from benchmarks import grid, methods, record
from benchmarks.pages import methods as pages
from benchmarks.rows import ROWS

SPEED = {"quickstart.py": 5.0, "dfmgan.py": 10.0, "stylegan2.py": 8.0}  # steps a second
NO_MASKS = "the defects of this data set have no masks"


def flag(given, name):
    """The value of a flag, None without."""
    return next((one.split("=", 1)[1] for one in given if one.startswith(f"--{name}=")), None)


class Processes:
    """In the place of grid.python: writes what a process would leave, and remembers it."""

    def __init__(self):
        self.started, self.broken = [], ()

    def __call__(self, workdir, module, *given, core=None):
        self.started.append((module, given))
        config = (flag(given, "config") or "").removeprefix("configs/").split(":")[0]
        if config in self.broken:
            raise subprocess.CalledProcessError(1, module, "error: out of luck")
        workdir.mkdir(parents=True, exist_ok=True)
        getattr(self, module.removeprefix("dtgan."))(workdir, config, given)
        if module == "dtgan.main":
            spent = {module: {"seconds": 9.0, "peak_mb": 700}}
            (workdir / "spent.json").write_text(json.dumps(spent))

    def main(self, workdir, config, given):
        length = flag(given, "config.train.duration") or "0steps"
        step = int(length.removesuffix("steps")) if length.endswith("steps") else 77
        (workdir / "summary.json").write_text(json.dumps({"step": step}))
        rate = {"rate/steps_per_s": SPEED.get(config)}
        lines = [{"rate/steps_per_s": 0.1}, rate, rate] if config in SPEED else []
        (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def evaluate(self, workdir, config, given):
        step = json.loads((workdir / "summary.json").read_text())["step"]
        (workdir / "eval").mkdir(exist_ok=True)
        report = {"step": step, "overall": {"fid": 12.5}, "images_per_second": 40.0}
        (workdir / f"eval/{step}.json").write_text(json.dumps(report))
        if not flag(given, "weights"):
            (workdir / "domain-1.safetensors").touch()

    def generate(self, workdir, config, given):
        (workdir / "set").mkdir()
        (workdir / "set/_SUCCESS").touch()

    def classify(self, workdir, config, given):
        arms = dict.fromkeys(flag(given, "arms").split(","), np.array([[1, 0, 0, 1]]))
        np.savez(workdir / "predictions.npz", truth=np.array([1, 0, 0, 0]), **arms)
        (workdir / "verdict.json").touch()


@pytest.fixture
def processes(monkeypatch, tmp_path):
    made = Processes()
    monkeypatch.setattr(grid, "python", made)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(
        methods.files, "write_real", lambda path, *_, **__: path.mkdir(parents=True)
    )
    (tmp_path / "benchmarks").mkdir()
    return made


def run(tmp_path, *given):
    """Run the grid, and read the file that it writes."""
    equal = flag(given, "equal") or "time"
    methods.main([f"--out={tmp_path}/runs", *given])
    return json.loads((tmp_path / f"benchmarks/results/methods_{equal}.json").read_text())


def test_rows_have_equal_time(processes, tmp_path):
    found = run(tmp_path, "--rows=layered,dfmgan", "--seeds=2", "--minutes=10")["cells"]
    cells = found["procedural"]
    assert set(cells) == {"baseline", "layered", "dfmgan"} and set(cells["layered"]) == {"0", "1"}
    assert cells["layered"]["0"]["step"] == 10 * 60 * 5
    # The half of it: the other is of the surfaces that it starts from.
    assert cells["dfmgan"]["1"]["step"] == 5 * 60 * 10
    assert cells["dfmgan"]["1"]["fid"] == 12.5 and cells["dfmgan"]["1"]["peak_mb"] == 700
    assert cells["dfmgan"]["0"]["error_alone"] == 0.25 and cells["baseline"] == [0.25]
    runs = tmp_path / "runs/time/procedural"
    trained = [given for module, given in processes.started if module == "dtgan.main"]
    started = {flag(given, "workdir"): flag(given, "config.init.workdir") for given in trained}
    assert started[f"{runs}/dfmgan-1/run"] == f"{runs}/surfaces-1/run"
    assert started[f"{runs}/pilot/dfmgan"] == f"{runs}/pilot/surfaces"
    judged = [given for module, given in processes.started if module == "dtgan.evaluate"]
    judges = {flag(given, "workdir"): flag(given, "weights") for given in judged}
    assert judges.pop(f"{runs}/pilot/layered") is None
    assert set(judges.values()) == {f"{runs}/pilot/layered/domain-1.safetensors"}


def test_rows_show_equal_numbers_of_images(processes, tmp_path):
    run(tmp_path, "--rows=layered,finetune", "--seeds=1", "--equal=images", "--kimg=8")
    trained = [given for module, given in processes.started if module == "dtgan.main"]
    lengths = [(flag(g, "config"), flag(g, "config.train.duration")) for g in trained]
    assert lengths[1:] == [
        ("configs/quickstart.py", "8kimg"),
        ("configs/dfmgan.py:stage=1,quick", "4kimg"),
        ("configs/stylegan2.py:finetune,quick", "4kimg"),
    ]


def test_a_finished_grid_starts_nothing(processes, tmp_path):
    given = ("--rows=layered,paste", "--seeds=1")
    found = run(tmp_path, *given)
    assert found["cells"]["procedural"]["paste"]["0"]["seconds_a_step"] is None
    started = len(processes.started)
    again = run(tmp_path, *given)
    assert again["cells"] == found["cells"] and len(processes.started) == started
    assert run(tmp_path, *given, "--table")["cells"] == found["cells"]


def test_failures_are_told_and_hinder_no_other_row(processes, tmp_path):
    processes.broken = ("stylegan2.py",)
    given = ("--rows=stylegan2,layered", "--seeds=1")
    cells = run(tmp_path, *given)["cells"]["procedural"]
    assert cells["stylegan2"]["0"] == {"failed": "its pilot failed"}
    assert cells["layered"]["0"]["step"] > 0
    processes.broken = ()
    assert "failed" in run(tmp_path, *given)["cells"]["procedural"]["stylegan2"]["0"]
    cells = run(tmp_path, *given, "--retry")["cells"]["procedural"]
    assert cells["stylegan2"]["0"]["step"] == 12 * 60 * 8


def test_methods_that_need_masks_do_without_where_others_draw_them(processes, tmp_path):
    rows = "--rows=paste,dfmgan,dfmgan_mattes"
    found = run(tmp_path, rows, "--data=", "--neu_steel=steel", "--seeds=1")["cells"]["neu_steel"]
    assert found["paste"]["0"] == found["dfmgan"]["0"] == {"failed": NO_MASKS}
    assert found["dfmgan_mattes"]["0"]["step"] > 0
    trained = [given for module, given in processes.started if module == "dtgan.main"]
    drawn = [flag(given, "config.data.masks_from") for given in trained]
    runs = tmp_path / "runs/time/neu_steel"
    assert {*drawn} - {None} == {f"{runs}/pilot/layered", f"{runs}/layered-0/run"}


def test_few_shot_sets_have_their_rows_and_shards_their_part(processes, tmp_path):
    data = "--data=steel-1,steel-2"
    found = run(tmp_path, data, "--seeds=1", "--shard=1/2", "--minutes=1")["cells"]
    assert set(found["steel-2"]) == {"baseline", *(name for name, row in ROWS.items() if row.few)}
    assert set(found["steel-1"]) == {"baseline"} and found["steel-1"]["baseline"] == []


@pytest.mark.parametrize(
    ("given", "told"),
    [("--rows=layred", "unknown rows layred; known: layered,"), ("--data=steel", "not procedural")],
)
def test_what_does_not_exist_is_told_at_once(processes, tmp_path, capsys, given, told):
    with pytest.raises(SystemExit):
        run(tmp_path, given)
    assert told in capsys.readouterr().err and not processes.started


def test_a_process_leaves_its_output_time_and_memory(tmp_path):
    grid.python(tmp_path, "json.tool", "--help")
    assert "usage" in (tmp_path / "log.txt").read_text()
    before = json.loads((tmp_path / "spent.json").read_text())["json.tool"]
    assert before["seconds"] > 0 and before["peak_mb"] > 1
    with pytest.raises(subprocess.CalledProcessError) as raised:
        grid.python(tmp_path, "json.tool", f"{tmp_path}/none.json")
    assert "none.json" in raised.value.output
    after = json.loads((tmp_path / "spent.json").read_text())["json.tool"]
    assert after["seconds"] > before["seconds"]


def cells(**figures):
    """Cells of rows, of one figure by seed."""
    return {
        "baseline": [0.2, 0.3],
        **{
            row: {str(seed): {"fid": value} for seed, value in enumerate(values)}
            for row, values in figures.items()
        },
    }


@pytest.mark.parametrize(
    ("better", "worse", "word"),
    [
        ([10, 20, 30], [15, 26, 35], "holds"),
        ([15, 26, 35], [10, 20, 30], "does not hold"),
        ([10, 20, 30], [30, 10, 25], "cannot tell"),
        ([10], [30], "cannot tell"),
        ([10, None], [30, 40], "cannot tell"),
        ([], [30, 40], "cannot tell"),
    ],
)
def test_an_ordering_is_judged_by_differences_of_the_same_seeds(better, worse, word):
    claim = pages.Claim("a table", "dfmgan", "cdc", "fid")
    assert pages.judge(claim, cells(dfmgan=better, cdc=worse))[0] == word
    swapped = {"holds": "does not hold", "does not hold": "holds"}.get(word, word)
    assert pages.judge(claim._replace(more=True), cells(dfmgan=better, cdc=worse))[0] == swapped


def test_an_ordering_tells_its_interval():
    claim = pages.Claim("a table", "dtgan", "baseline", "fid")
    word, told = pages.judge(claim, cells(dtgan=[0.1, 0.22]))
    # Differences 0.1 and 0.08: of mean 0.09, whose error is 0.01, times Student's 12.706.
    assert (word, told) == ("cannot tell", "+0.09 [-0.0371, +0.217]")


def test_claims_are_of_rows_that_exist():
    for claim in pages.CLAIMS:
        assert {claim.better, claim.worse} <= {*ROWS, "baseline"} and claim.figure
    assert set(pages.NAMES) == set(ROWS) - {"surfaces"}


def test_the_tables_tell_scores_and_failures(processes, tmp_path, monkeypatch):
    run(tmp_path, "--rows=layered,paste,dfmgan", "--data=", "--neu_steel=steel", "--seeds=2")
    monkeypatch.setattr("benchmarks.pages.markdown.RESULTS", tmp_path / "benchmarks/results")
    head, _, real, layered, *others = pages.equal_time("neu_steel")
    assert all(line.count("|") == head.count("|") for line in (real, layered, *others))
    assert real.endswith("| 25.0 |") and "| 2 | 3600 | 0.200 ± 0.000 | 12 ± 0 (-) |" in layered
    assert [NO_MASKS in line for line in others] == [True, True]
    told = pages.orderings("neu_steel")
    assert len(told) == 2 + len(pages.CLAIMS) and all("cannot tell" in line for line in told[2:])
