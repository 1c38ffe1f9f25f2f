"""Pins the grid of methods: budgets, what starts from what, failures, and that it goes on."""

import functools
import json

import numpy as np
import pytest

from benchmarks import figures, grid, methods, papers, record
from benchmarks.cells import Cell
from benchmarks.pages import methods as pages
from benchmarks.rows import FIGURES, FOLDERS, PROCEDURAL, ROWS, SINGLE_FIGURES
from dtgan import cli
from dtgan import config as config_lib

SPEED = {
    "quickstart.py": 5.0,
    "dfmgan.py": 10.0,
    "stylegan2.py": 8.0,
    "cdc.py": 4.0,
}  # steps a second
TOLD = ("baseline", "baseline_by_class", "test_images")  # of every data set
NO_MASKS = "the defects of this data set have no masks"


def flag(given, name):
    """The value of a flag, None without."""
    return next((one.split("=", 1)[1] for one in given if one.startswith(f"--{name}=")), None)


class Processes:
    """In the place of grid.python: writes what a process would leave, and remembers it."""

    def __init__(self):
        self.started, self.broken, self.stop_after = [], (), None

    def __call__(self, workdir, module, *given, core=None):
        self.started.append((module, given))
        config = (flag(given, "config") or "").removeprefix("configs/").split(":")[0]
        if config in self.broken:
            raise grid.Failed("error: out of luck")
        if self.stop_after is not None and len(self.started) > self.stop_after:
            raise grid.Stopped("told to stop")
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
        report = {"step": step, "overall": {"fid_matched": 12.5}, "images_per_second": 40.0}
        report["per_class"] = {"tear": {"fid_matched": 14.0, "kid_x1e3": 3.0}}
        (workdir / f"eval/{step}.json").write_text(json.dumps(report))
        if not flag(given, "weights"):
            (workdir / "domain-1.safetensors").touch()

    def generate(self, workdir, config, given):
        (workdir / "set").mkdir()
        (workdir / "set/_SUCCESS").touch()

    def classify(self, workdir, config, given):
        answers = np.tile([1, 0, 0, 1], (int(flag(given, "seeds")), 1))
        arms = dict.fromkeys(flag(given, "arms").split(","), answers)
        ids = np.array(["a", "b", "c", "d"])
        np.savez(workdir / "predictions.npz", truth=np.array([1, 0, 0, 0]), ids=ids, **arms)
        (workdir / "verdict.json").write_text(json.dumps({"classes": ["normal", "tear", "mark"]}))


def written(path, *_, **__):
    """In the place of files.write_real."""
    path.mkdir(parents=True)
    (path / "splits.csv").touch()


@pytest.fixture
def processes(monkeypatch, tmp_path):
    made = Processes()
    monkeypatch.setattr(grid, "python", made)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(methods.files, "write_real", written)
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
    assert set(cells) == {*TOLD, "layered", "dfmgan"}
    assert set(cells["layered"]) == {"0", "1"} and cells["test_images"] == 4
    assert cells["layered"]["0"]["step"] == 10 * 60 * 5
    # The half of it: the other is of the surfaces that it starts from.
    assert cells["dfmgan"]["1"]["step"] == 5 * 60 * 10
    assert cells["dfmgan"]["1"]["fid"] == 12.5 and cells["dfmgan"]["1"]["peak_mb"] == 700
    assert cells["dfmgan"]["0"]["error_alone"] == 0.25 and cells["baseline"][1] == 0.25
    by_class = cells["dfmgan"]["0"]["error_added_by_class"]
    assert by_class == cells["baseline_by_class"] == {"normal": pytest.approx(1 / 3), "tear": 0}
    tears = {"fid": 14.0, "kid_x1e3": 3.0, "clustered_lpips": None}
    assert cells["dfmgan"]["1"]["by_class"] == {"tear": tears}
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
    assert lengths[1:] == [  # after the judge's pilot; what others need comes first
        ("configs/dfmgan.py:stage=1,quick", "4kimg"),
        ("configs/quickstart.py", "8kimg"),
        ("configs/stylegan2.py:finetune,quick", "4kimg"),
    ]


def test_a_finished_grid_starts_nothing(processes, tmp_path):
    given = ("--rows=layered,paste", "--seeds=1")
    found = run(tmp_path, *given)
    assert found["cells"]["procedural"]["paste"]["0"]["seconds_a_step"] is None
    assert found["run"]["time"] == "12 minutes a cell" and found["num_per_class"] == 100
    started = len(processes.started)
    again = run(tmp_path, *given)
    assert again["cells"] == found["cells"] and len(processes.started) == started
    assert run(tmp_path, *given, "--table")["cells"] == found["cells"]


def test_an_empty_folder_goes_on_from_the_results(processes, tmp_path):
    """Seeds and rows of earlier calls stay; new ones take the numbers of steps that others took."""
    rows = "--rows=layered,dfmgan"
    first = run(tmp_path, rows, "--seeds=1")
    speed, started = dict(SPEED), len(processes.started)
    SPEED.update(dict.fromkeys(speed, 99.0))  # a faster machine
    try:
        (tmp_path / "runs").rename(tmp_path / "lost")
        second = run(tmp_path, rows, "--seeds=2")
    finally:
        SPEED.update(speed)
    ends = [
        (flag(given, "workdir") or "").removeprefix(f"{tmp_path}/runs/time/procedural/")
        for module, given in processes.started[started:]
        if module == "dtgan.main"
    ]
    assert ends == ["pilot/layered", "surfaces-1/run", "layered-1/run", "dfmgan-1/run"]
    assert second["steps"] == first["steps"]
    cells = second["cells"]["procedural"]
    assert cells["layered"]["0"] == first["cells"]["procedural"]["layered"]["0"]
    assert cells["layered"]["1"]["step"] == cells["layered"]["0"]["step"]
    assert set(cells["dfmgan"]) == {"0", "1"} and len(cells["baseline"]) == 2
    with pytest.raises(SystemExit, match=r"methods_time.json has cells with minutes=12, these"):
        methods.main([f"--out={tmp_path}/other", rows, "--minutes=6"])


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


def test_a_report_stays_where_no_set_can_be_drawn(processes, tmp_path, monkeypatch):
    def refuse(*_):
        raise grid.Failed("none of its defects is found")

    monkeypatch.setattr(processes, "generate", refuse)
    cells = run(tmp_path, "--rows=layered", "--seeds=1")["cells"]["procedural"]
    assert cells["layered"]["0"]["fid"] == 12.5 and cells["layered"]["0"]["error_added"] is None
    assert cells["layered"]["0"]["unused"] == "none of its defects is found"
    started = len(processes.started)
    run(tmp_path, "--rows=layered", "--seeds=1")
    assert len(processes.started) == started


@pytest.mark.parametrize("after", [2, 5, 7])
def test_a_stopped_grid_goes_on(processes, tmp_path, after):
    given, processes.stop_after = ("--rows=dfmgan", "--seeds=1"), after
    with pytest.raises(SystemExit, match="told to stop; the same command goes on"):
        run(tmp_path, *given)
    processes.stop_after = None
    assert run(tmp_path, *given)["cells"]["procedural"]["dfmgan"]["0"]["error_added"] == 0.25
    assert not list(tmp_path.rglob("failed.txt"))


def test_another_budget_is_refused(processes, tmp_path):
    run(tmp_path, "--rows=layered", "--seeds=1")
    started = len(processes.started)
    with pytest.raises(SystemExit, match=r"holds a grid with minutes=12.* minutes=6"):
        run(tmp_path, "--rows=layered", "--seeds=1", "--minutes=6")
    assert len(processes.started) == started


def test_methods_that_need_masks_do_without_where_others_draw_them(processes, tmp_path):
    rows = "--rows=paste,dfmgan,dfmgan_mattes"
    found = run(tmp_path, rows, "--data=", "--neu_steel=steel", "--seeds=1")["cells"]["neu_steel"]
    assert found["paste"]["0"] == found["dfmgan"]["0"] == {"failed": NO_MASKS}
    assert found["dfmgan_mattes"]["0"]["step"] > 0
    trained = [given for module, given in processes.started if module == "dtgan.main"]
    drawn = [flag(given, "config.data.masks_from") for given in trained]
    runs = tmp_path / "runs/time/neu_steel"
    assert {*drawn} - {None} == {f"{runs}/pilot/layered", f"{runs}/layered-0/run"}
    assert "dfmgan_mattes" not in run(tmp_path, rows, "--seeds=1")["cells"]["procedural"]


def test_few_shot_sets_have_their_rows_and_a_common_judge(processes, tmp_path):
    found = run(tmp_path, "--data=steel-1,steel-2", "--seeds=1", "--minutes=1")["cells"]
    few = {name for name, row in ROWS.items() if row.few} - {"surfaces"}
    assert set(found["steel-2"]) == set(found["steel-1"]) == {*TOLD, *few}
    judged = [given for module, given in processes.started if module == "dtgan.evaluate"]
    judges = {flag(given, "weights") for given in judged}
    assert judges == {None, f"{tmp_path}/runs/time/steel-60/pilot/layered/domain-1.safetensors"}


def test_shards_have_their_part_and_results_stay(processes, tmp_path):
    rows = "--rows=layered"
    run(tmp_path, rows, "--seeds=1")
    shared = [f"--out={tmp_path}/runs", rows, "--data=steel-1", "--seeds=2"]
    for part in (0, 1):
        before = len(processes.started)
        methods.main([*shared, f"--shard={part}/2"])
        trained = [given for module, given in processes.started[before:] if module == "dtgan.main"]
        assert flag(trained[-1], "config.seed") == str(part)
    cells = run(tmp_path, *shared[1:], "--table")["cells"]
    assert set(cells) == {"procedural", "steel-1"} and set(cells["steel-1"]["layered"]) == {
        "0",
        "1",
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--rows=layred", "unknown rows layred; known: layered,"),
        ("--data=steel", "not procedural or steel-N"),
        ("--jobs=0", "this process may use"),
        ("--shard=2/2", "--shard=2/2 is not N/OF with N below OF"),
    ],
)
def test_what_does_not_exist_is_told_at_once(processes, tmp_path, capsys, given, told):
    with pytest.raises(SystemExit) as raised:
        run(tmp_path, given)
    assert told in capsys.readouterr().err + str(raised.value) and not processes.started


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("data", ["procedural", "steel-5", *FOLDERS])
def test_the_flags_of_a_row_make_a_config(name, data, tmp_path):
    """Every process is told by flags; here they meet the configs that they are for."""
    known = {"procedural": PROCEDURAL, "steel-5": PROCEDURAL._replace(few=True)} | FOLDERS
    if name not in methods.chosen([name], known[data]):
        return
    place = methods.in_folder(tmp_path) if data != "procedural" else ()
    known = known[data]._replace(flags=place + known[data].flags)
    donors = {"surfaces": tmp_path, "layered": tmp_path}
    given = methods.flags(Cell(name, data, 0, tmp_path), known, donors)
    first, *others = (one.removeprefix("--config").partition("=") for one in given)
    config = cli.read_config(first[2])
    for field, _, value in others:
        *group, field = field.removeprefix(".").split(".")
        part = functools.reduce(lambda node, key: node[key], group, config)
        part[field] = type(part[field])(value)
    assert config.data.res == 64 and config.data.channels == 1
    config_lib.validate(config)


def test_a_process_leaves_its_output_time_and_memory(tmp_path):
    grid.python(tmp_path, "json.tool", "--help", core=grid.cores(1)[0])
    assert "usage" in (tmp_path / "log.txt").read_text()
    before = json.loads((tmp_path / "spent.json").read_text())["json.tool"]
    assert before["seconds"] > 0 and before["peak_mb"] > 1
    with pytest.raises(grid.Failed, match=r"^json.tool ended with [12]: .*none.json"):
        grid.python(tmp_path, "json.tool", f"{tmp_path}/none.json")
    after = json.loads((tmp_path / "spent.json").read_text())["json.tool"]
    assert after["seconds"] > before["seconds"]


def test_an_interrupted_process_is_no_failure(tmp_path):
    with pytest.raises(grid.Stopped):
        grid.python(tmp_path, "timeit", "-n1", "-s", "import os; os.kill(os.getpid(), 15)")


def cells(figure="fid", **figures):
    """Cells of rows, of one figure by seed."""
    return {
        "baseline": [0.2, 0.3],
        **{
            row: {str(seed): {figure: value} for seed, value in enumerate(values)}
            for row, values in figures.items()
        },
    }


CLAIM = papers.Claim("a table", "dfmgan", "cdc", "fid", (1, 2))


@pytest.mark.parametrize(
    ("better", "worse", "word"),
    [
        ([10, 11, 12], [25, 26, 35], "holds"),
        ([25, 26, 35], [10, 11, 12], "the reverse holds"),
        ([10, 20, 30], [30, 10, 25], "cannot tell"),
        ([10], [30, 31], "cannot tell"),
        ([10, None], [30, 40], "cannot tell"),
        ([], [30, 40], "cannot tell"),
        ([10, 10], [30, 30], "cannot tell"),
    ],
)
def test_an_ordering_is_judged_by_the_spread_over_seeds(better, worse, word):
    assert pages.judge(CLAIM, cells(dfmgan=better, cdc=worse))[0] == word
    swapped = {"holds": "the reverse holds", "the reverse holds": "holds"}.get(word, word)
    more = CLAIM._replace(more=True)
    assert pages.judge(more, cells(dfmgan=better, cdc=worse))[0] == swapped


def test_an_ordering_tells_its_interval():
    """Welch's: the mean difference 9, standard error 1, 2 degrees of freedom, Student's 4.303."""
    claim = CLAIM._replace(better="dtgan", worse="baseline", figure="error_added")
    found = cells("error_added", dtgan=[0.15, 0.17]) | {"baseline": [0.24, 0.26]}
    _, told = pages.judge(claim, found)
    assert told == "+9 [+2.92, +15.1], 2 and 2 seeds"


def test_claims_are_of_rows_that_exist():
    for claim in papers.CLAIMS:
        assert {claim.better, claim.worse} <= {*ROWS, "baseline"}
        assert claim.figure in {*FIGURES, *SINGLE_FIGURES, "error_alone", "error_added"}
        assert (
            claim.values[0] > claim.values[1] if claim.more else claim.values[0] < claim.values[1]
        )
    for paper in papers.PAPERS.values():
        assert list(paper.values.values()) == sorted(paper.values.values(), reverse=paper.more)
    assert set(pages.NAMES) == set(ROWS) - {"surfaces"} | {"baseline"}


def test_the_tables_tell_scores_and_failures(processes, tmp_path, monkeypatch):
    run(tmp_path, "--rows=layered,paste,cdc", "--data=", "--neu_steel=steel", "--seeds=2")
    monkeypatch.setattr("benchmarks.pages.markdown.RESULTS", tmp_path / "benchmarks/results")
    head, _, real, layered, *others = pages.equal_time("neu_steel")
    assert all(line.count("|") == head.count("|") for line in (real, layered, *others))
    assert real.endswith("| 25.0 ± 0.0 |")
    assert "| 2 | 3600 | 0.200 ± 0.000 | 12 ± 0 (-) |" in layered
    assert [NO_MASKS in line for line in others] == [True]
    assert "CDC" in pages.one_class("neu_steel")[-2]
    assert pages.paper("dfmgan_1_lpips")[2:][1] == "| Crop&Paste | 0.2058 | - |"
    assert pages.paper("defect_gan_3")[4] == "| real images alone | 29.75 | 25.0 ± 0.0 |"
    tears = [line for line in pages.thesis("neu_steel") if line.startswith("| tear ")]
    assert tears == ["| tear | 0.74 | 0.06 | - | - | 15.2 | 9.1 | 0.0 | - |"]
    few = {name: papers.PAPERS[name] for name in ("dfmgan_1_kid", "defect_gan_3")}
    monkeypatch.setattr(figures, "PAPERS", few)
    figures.main([f"--out={tmp_path}"])
    assert {path.stem for path in tmp_path.glob("*.png")} == {f"paper_{name}" for name in few}
    told = pages.orderings("neu_steel")
    assert len(told) == 2 + len(papers.CLAIMS) and all("cannot tell" in line for line in told[2:])
